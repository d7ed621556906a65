"""``toolkit train``: trains or resumes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from charkit import api, events
from charkit.config import SECTIONS
from charkit.errors import ConfigurationError
from charkit.recipe import DEFAULT_RECIPE, find_recipe, settings_of_recipes
from charkit.settings import Settings, merge, parse_assignment, read_toml
from charkit.text.prepared_manifest import same_encoding
from charkit_cli import standard_input
from charkit_cli.completion import among, observer_names, recipe_names, run_paths
from charkit_cli.options import DEFAULT, Device, Json, RecipeBackend, Verbose, with_options
from charkit_cli.progress import progress_for
from charkit_cli.terminal_output import print_files, print_json, to_log, to_user
from charkit_cli.train_result import (
    PLANNED_END,
    SavedRun,
    print_train_result,
    result_as_json,
    resuming_options,
    status_of_training,
)

EXAMPLES = (
    "toolkit train anna.txt --backend torch",
    "toolkit train books/ --glob '*.txt' --lstm-size 512 --dropout 0.5",
    "toolkit train anna.txt --time-limit 10m --schedule cosine",
    "toolkit train anna.txt --recipe anna-20-epochs --seed 1",
    "toolkit train --resume runs/anna-1 --epochs 30",
    "toolkit train anna.txt --workers 2",
    "toolkit train anna.txt --track tensorboard --track csv",
    "toolkit train https://example.org/anna.txt",
    "toolkit train - < anna.txt",
    "toolkit train new.txt --init-from runs/anna-1 --extend-vocabulary",
)


# Long, since each option is a parameter with its help.
@with_options(
    SECTIONS,
    leave_out=("text",),
    classic=settings_of_recipes(),
    notes={"shards": "with --workers, the default is at least 8"},
)
def command(
    given: Settings,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="text files, directories or URLs, a prepared text, or - for standard input "
            + DEFAULT.format("Python's language reference"),
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="DIR",
            help=f"directory for the new run {DEFAULT.format('runs/NAME-N, named after the text')}",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="resume a run exactly where it stopped", autocompletion=run_paths
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="start a new run with the weights and vocabulary of an existing one",
            autocompletion=run_paths,
        ),
    ] = None,
    extend_vocabulary: Annotated[
        bool,
        typer.Option("--extend-vocabulary", help="with --init-from: add symbols found only in the new text"),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing run at --run")] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="source of the settings that you don't give: a recipe (see toolkit recipes) or a TOML file; auto "
            r"derives them from the text and the time limit; \[classic: ...] below is the value with --recipe classic "
            + DEFAULT.format(DEFAULT_RECIPE),
            show_default=False,
            autocompletion=recipe_names,
        ),
    ] = None,
    backend: RecipeBackend = None,
    device: Device = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="INT",
            help="number of CPU threads; with --workers, per worker "
            + DEFAULT.format("all, or 1 per worker"),
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="INT",
            help="number of worker processes, at most one per shard; with the same --shards, any number gives the same "
            "result " + DEFAULT.format("train in this process"),
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help=f"what starts the workers: local, ray {DEFAULT.format('local')}",
            show_default=False,
            autocompletion=among(("local", "ray")),
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="address of the engine's cluster, such as HOST:PORT for ray "
            + DEFAULT.format("the environment variable RAY_ADDRESS, or this machine"),
        ),
    ] = None,
    mixed_machines: Annotated[
        bool,
        typer.Option(
            "--mixed-machines",
            help="allow workers whose processors or software versions differ, which may change the last bits of the "
            "result",
        ),
    ] = False,
    stop_at: Annotated[
        int | None,
        typer.Option(
            "--stop-at",
            metavar="STEP",
            help="end this session at this step, without changing the run's schedule",
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            metavar="NAME",
            help="record the run with csv, tensorboard, mlflow, wandb, or your own observer; repeatable",
            autocompletion=observer_names,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="read settings, grouped by section, from a TOML file"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="set one setting, as in model.lstm_size=256; overrides --config; repeatable",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Trains and returns the exit status."""
    layers = [read_toml(config)] if config else []
    layers += [parse_assignment(assignment) for assignment in assignments or ()]
    settings = merge(*layers, given)
    console = to_log()
    string = None
    if standard_input.is_meant(text):
        if resume is not None:
            raise ConfigurationError(
                "a run is resumed on the text that it was trained on, and standard input can't replace it; "
                "leave '-' out"
            )
        text, string, settings = None, *_from_standard_input(console, settings, recipe)
    saved = SavedRun()

    try:
        with progress_for(console) as show:

            def on_event(event: events.Event) -> None:
                if isinstance(event, events.Started):
                    saved.path, saved.step = event.run, event.step
                    if verbose:
                        print_files(console, event.files)
                elif isinstance(event, events.Saved):
                    saved.step = event.step
                elif isinstance(event, events.Ended):
                    saved.path = None  # from here on, nothing can be lost
                show(event)

            result = api.train(
                text or None,
                string=string,
                run=run,
                resume=resume,
                init_from=init_from,
                extend_vocabulary=extend_vocabulary,
                overwrite=overwrite,
                recipe=recipe,
                backend=backend,
                device=device,
                threads=threads,
                workers=workers,
                engine=engine,
                address=address,
                mixed_machines=mixed_machines,
                stop_at=stop_at,
                track=track or (),
                settings=settings,
                on_event=on_event,
            )
    except KeyboardInterrupt:
        saved.print_after_quitting(console)
        raise

    def print_result() -> None:
        if as_json:
            print_json(result_as_json(result))
            return
        chosen = {
            "device": device,
            "threads": threads,
            "workers": workers,
            "engine": engine,
            "address": address,
        }
        options = resuming_options(chosen, mixed_machines=mixed_machines, track=track or ())
        moved = [] if resume is None else [*(text or ()), *_glob_options(given)]
        has_plan_of_earlier = resume is not None and "time_limit" not in settings.get("training", {})
        reached = PLANNED_END if has_plan_of_earlier and result.stopped_because == "time_limit" else None
        print_train_result(to_user(), result, moved + options, reached)

    return status_of_training(result, print_result, is_data=as_json)


def _glob_options(given: Settings) -> list[str]:
    """The patterns that were given as options, as options."""
    return [f"--glob={pattern}" for pattern in given.get("data", {}).get("glob") or ()]


def _from_standard_input(console: Console, settings: Settings, recipe: str | None) -> tuple[str, Settings]:
    """The text on standard input, and the settings without those that say how it is read."""
    data = {key: value for key, value in settings.get("data", {}).items() if key != "text"}  # of a file
    of_recipe = find_recipe(DEFAULT_RECIPE if recipe is None else recipe).settings.get("data", {})
    if "glob" in data:
        raise ConfigurationError(
            "`glob` chooses files in a directory, but standard input is a single text; leave `glob` out"
        )
    advice = "name its encoding with `encoding`, or save it as a file and read that with `vocabulary='byte'`"
    if data.get("vocabulary", of_recipe.get("vocabulary")) == "byte":  # these are the bytes of UTF-8
        advice = (
            "prepare it with toolkit prepare - --vocabulary byte --out DIR, then train on the prepared text"
        )
        if not same_encoding(str(data.get("encoding", "utf-8")), "utf-8"):
            raise ConfigurationError(
                f"with `vocabulary='byte'`, standard input must be UTF-8; for a text in another encoding, {advice}"
            )
    text = standard_input.text(console, str(data.pop("encoding", of_recipe.get("encoding", "utf-8"))), advice)
    return text, {**settings, "data": data}
