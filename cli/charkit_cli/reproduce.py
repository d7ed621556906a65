"""``toolkit reproduce``: trains a recipe, and says whether its recorded result comes out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from charkit import events
from charkit.reproduction import Reproduction, reproduce
from charkit.system.command_lines import joined
from charkit_cli.completion import recipe_names, run_paths
from charkit_cli.options import DEFAULT, Device, Json, RecipeBackend, Threads
from charkit_cli.progress import progress_for
from charkit_cli.terminal_output import print_json, to_log, to_user
from charkit_cli.train_result import status_of_training

EXAMPLES = (
    "toolkit reproduce shakespeare-2-minutes input.txt",
    "toolkit reproduce anna-20-epochs anna.txt --seed 4 --backend torch",
    "toolkit reproduce anna-20-epochs --resume runs/anna-3",
)


Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="INT",
        help=f"random seed for a new run (at least 0) {DEFAULT.format(0)}",
        show_default=False,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="RUN",
        help="finish a stopped run of the recipe instead of training a new one; if the run has already finished, "
        "only compare its result",
        autocompletion=run_paths,
    ),
]
MeasuredText = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="text that the results were measured on; required for a new run, unless it is Python's language "
        "reference",
    ),
]


def command(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="recipe (see toolkit recipes), or a TOML file with results",
            autocompletion=recipe_names,
        ),
    ],
    text: MeasuredText = None,
    seed: Seed = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="DIR",
            help=f"directory for the new run {DEFAULT.format('runs/NAME-N, named after the text')}",
        ),
    ] = None,
    resume: Resume = None,
    backend: RecipeBackend = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Trains, scores, and returns the exit status: 0 within the recorded spread, 1 outside of it."""
    with progress_for(to_log()) as show:

        def progress(stage: str, fraction: float) -> None:
            show(events.Validating(fraction) if stage == "scoring" else events.Reading(stage, fraction))

        found = reproduce(
            recipe,
            text,
            seed=seed,
            run=run,
            resume=resume,
            backend=backend,
            device=device,
            threads=threads,
            on_event=show,
            progress=progress,
        )

    def print_result() -> None:
        if as_json:
            print_json(_as_json(found))
        else:
            chosen = {"backend": backend, "threads": threads, "device": device}
            options = (word for key, value in chosen.items() if value for word in (f"--{key}", str(value)))
            resuming = ["toolkit", "reproduce", recipe, "--resume", str(found.run), *options]
            _print(to_user(), found, joined(resuming))

    done = 0 if found.reproduced else 1
    if found.training is None:
        print_result()
        return done
    return status_of_training(found.training, print_result, is_data=as_json, done=done)


def _as_json(found: Reproduction) -> dict[str, Any]:
    return {
        "recipe": found.recipe,
        "run": str(found.run),
        "seed": found.seed,
        "stopped_because": found.training.stopped_because if found.training else None,
        "reproduced": found.reproduced if found.results else None,
        "results": [
            {
                "split": each.recorded.split,
                "loss": each.loss,
                "recorded_loss": each.recorded.loss,
                "lowest": each.recorded.range[0],
                "highest": each.recorded.range[1],
                "within": each.within,
            }
            for each in found.results
        ],
    }


def _print(console: Console, found: Reproduction, resume: str) -> None:
    """The losses beside the measured ones, and the verdict; ``resume`` is the command for a run that was stopped."""
    if not found.results:
        console.print(
            f"{found.run} was stopped and saved, so there is no result to compare yet; to finish it: {resume}",
            markup=False,
        )
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("split")
    for name in ("loss", "measured", "95% prediction interval", "within"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.results:
        lowest, highest = each.recorded.range
        table.add_row(
            each.recorded.split,
            f"{each.loss:.4f}",
            f"{each.recorded.loss:.4f}",
            f"{lowest:.4f} to {highest:.4f}",
            "yes" if each.within else "no",
        )
    console.print(table)
    verdict = (
        "reproduced: within the range expected from the measured results"
        if found.reproduced
        else "not reproduced: outside the range expected from the measured results"
    )
    console.print(f"{found.recipe} with seed {found.seed}, {found.run}", markup=False)
    console.print(verdict, style="bold green" if found.reproduced else "bold red", markup=False)
