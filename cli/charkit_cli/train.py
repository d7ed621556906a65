"""``toolkit train``: trains a new run, or resumes one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from charkit import api
from charkit.config import SECTIONS
from charkit.recipe import DEFAULT_RECIPE, settings_of_recipes
from charkit.settings import Settings, merge, parse_assignment, read_toml
from charkit.training import events
from charkit.training.interrupts import INTERRUPTIONS
from charkit.training.result import TrainResult
from charkit_cli import streams
from charkit_cli.options import DEFAULT, NO_VALUE, Device, Json, RecipeBackend, Threads, with_options
from charkit_cli.printable import printable
from charkit_cli.progress import progress_for
from charkit_cli.terminal_output import print_json, to_log, to_user

EXAMPLES = (
    "toolkit train anna.txt --backend torch",
    "toolkit train books/ --glob '*.txt' --lstm-size 512 --dropout 0.5",
    "toolkit train anna.txt --time-limit 10m --schedule cosine",
    "toolkit train anna.txt --recipe anna-20-epochs --seed 1",
    "toolkit train --resume runs/anna-1 --epochs 30",
    "toolkit train anna.txt --workers 2",
    "toolkit train new.txt --init-from runs/anna-1 --extend-vocabulary",
)
EXIT_STATUS: dict[str, int] = {reason: 128 + number for number, reason in INTERRUPTIONS.items()}
_REASONS = {
    "epochs": "all epochs are done",
    "max_steps": "all steps are done",
    "time_limit": "--time-limit was reached",
    "patience": "validation stopped gaining",
    "interrupted": "it was interrupted; the run is saved",
    "terminated": "it was told to terminate; the run is saved",
    "hung_up": "its terminal was closed; the run is saved",
}


# Long, since each option is a parameter with its help.
@with_options(SECTIONS, leave_out=("text",), classic=settings_of_recipes())
def command(
    given: Settings,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="text files or folders; unset, Python's language reference"),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="folder of the new run; unset, runs/NAME-N"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="continue a run, exactly where it stands"),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from", metavar="RUN", help="start a new run from a run's weights and vocabulary"
        ),
    ] = None,
    extend_vocabulary: Annotated[
        bool,
        typer.Option(
            "--extend-vocabulary", metavar=NO_VALUE, help="with --init-from: add the new text's symbols"
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar=NO_VALUE, help="replace the run in --run")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="settings that are not given: a name of toolkit recipes, or a TOML file; below, "
            rf"\[classic=...] is what --recipe classic has {DEFAULT.format(DEFAULT_RECIPE)}",
            show_default=False,
        ),
    ] = None,
    backend: RecipeBackend = None,
    device: Device = None,
    threads: Threads = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="INT",
            help="so many workers compute the gradients, with the same result; unset, this process alone",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help=f"what runs the workers: local, ray {DEFAULT.format('local')}",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDRESS", help="where the engine is; unset, on this machine"),
    ] = None,
    mixed_machines: Annotated[
        bool,
        typer.Option(
            "--mixed-machines",
            metavar=NO_VALUE,
            help="use workers that differ in processor or versions, and so in the last bits",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="settings from a TOML file, by section"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="one setting, as in model.lstm_size=256; wins over --config; may be repeated",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Trains and returns the exit status."""
    layers = [read_toml(config)] if config else []
    layers += [parse_assignment(assignment) for assignment in assignments or ()]
    console = to_log()
    last_sample = ""
    used_backend = ""

    with progress_for(console) as show:

        def on_event(event: events.Event) -> None:
            nonlocal last_sample, used_backend
            if isinstance(event, events.Sampled):
                last_sample = event.text
            if isinstance(event, events.Started):
                used_backend = event.backend
            show(event)

        result = api.train(
            text or None,
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
            settings=merge(*layers, given),
            on_event=on_event,
        )

    def print_result() -> None:
        if as_json:
            print_json(_as_json(result))
            return
        user = to_user()
        shown = console.is_terminal and user.is_terminal  # by the live progress, just above
        _print_result(user, result, "" if shown else last_sample, _backend_options(used_backend, device))

    return status_of_training(result, print_result, is_data=as_json)


def status_of_training(
    result: TrainResult, print_result: Callable[[], None], *, is_data: bool, done: int = 0
) -> int:
    """Prints the result, and returns the exit status: that of the signal that ended training, or else ``done``.

    The run is saved by now, so that a result which can't be printed fails the command only where it is data.
    """
    status = EXIT_STATUS.get(result.stopped_because, done)
    try:
        print_result()
        streams.results().flush()
    except BrokenPipeError:  # the reader has gone, and the run is what matters
        streams.discard(streams.results())
    except OSError as error:
        streams.discard(streams.results())
        line = f"{result.run} is trained and saved, but the result could not be printed: {error.strerror}"
        print(f"{'error' if is_data else 'note'}: {printable(line)}", file=sys.stderr)
        return 2 if is_data and not status else status
    return status


def _as_json(result: TrainResult) -> dict[str, Any]:
    return {
        "run": str(result.run),
        "step": result.step,
        "epoch": result.epoch,
        "loss": result.loss,
        "validation_loss": result.validation_loss,
        "best_validation_loss": result.best_validation_loss,
        "characters_per_second": result.characters_per_second,
        "stopped_because": result.stopped_because,
    }


def _backend_options(backend: str, device: str | None) -> str:
    """The options that choose the same backend again, which a run does not record as its own."""
    chosen = "" if backend == "numpy" else f" --backend {shlex.quote(backend)}"
    return chosen + (f" --device {shlex.quote(device)}" if device else "")


def _print_result(console: Console, result: TrainResult, sample: str, backend_options: str) -> None:
    """The sample, how training ended, and the command to type next."""
    if sample:
        console.print(Text(sample))
        console.print()
    losses = [
        ("loss", result.loss),
        ("validation", result.validation_loss),
        ("best", result.best_validation_loss),
    ]
    known = ", ".join(f"{name} {loss:.4f}" for name, loss in losses if loss is not None)
    run = shlex.quote(str(result.run))
    following = (
        f"train --resume {run}{backend_options}" if result.stopped_because in EXIT_STATUS else f"sample {run}"
    )
    for line in (
        f"{result.run} stopped at step {result.step:,}, epoch {result.epoch}: {_REASONS[result.stopped_because]}",
        f"{known or 'no report yet'}; {result.characters_per_second:,.0f} characters/s",
        f"next: toolkit {following}",
    ):
        console.print(line, markup=False)
