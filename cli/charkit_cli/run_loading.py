"""Options and loading for the commands that read a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from charkit.config import Precision
from charkit.loaded_run import LoadedRun, load_run
from charkit.plugins.supervision import reading_process
from charkit.runs.newest import newest_run_path
from charkit.runs.pointers import Which
from charkit.training.interrupts import ending_on_termination
from charkit_cli.completion import run_paths
from charkit_cli.options import DEFAULT
from charkit_cli.terminal_output import print_notices, to_log

RunArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help=f"directory of a run {DEFAULT.format('the one saved last in runs/')}",
        autocompletion=run_paths,
    ),
]
Checkpoint = Annotated[
    Which,
    typer.Option(
        "--checkpoint",
        metavar="CHOICE",
        help=f"which checkpoint to use: best, latest {DEFAULT.format('best')}",
        show_default=False,
    ),
]
ComputePrecision = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        metavar="CHOICE",
        help="floating-point precision: float32, float64, bfloat16 "
        + DEFAULT.format("float32, or float64 if the run was trained in it"),
    ),
]


@contextmanager
def loaded_for(
    doing: str,
    run: Path | None,
    checkpoint: Which,
    *,
    backend: str,
    precision: Precision | None,
    device: str | None,
    threads: int | None,
) -> Iterator[LoadedRun]:
    """Loads the run on the chosen backend and prints which damaged checkpoints were skipped.

    If the backend ends the process inside, standard error still gets a line that says so; ``doing`` is "sampling", say.
    """
    path = newest_run_path() if run is None else run
    with reading_process(backend, doing, str(path)), ending_on_termination():
        loaded = load_run(
            path, checkpoint=checkpoint, backend=backend, precision=precision, device=device, threads=threads
        )
        print_notices(to_log(), loaded.notices)
        if run is None:
            print_notices(to_log(), [f"using {path}, the run that was saved last"])
        is_imported = not loaded.text
        if loaded.step == 0 and loaded.step == loaded.last_step and not is_imported:
            print_notices(to_log(), ["this run has not been trained yet; its weights are the initial ones"])
        if checkpoint == "best" and loaded.step < loaded.last_step:
            newest = (
                f"the latest is from step {loaded.last_step:,}; to use it instead, give `checkpoint='latest'`"
            )
            print_notices(to_log(), [f"using the best checkpoint, from step {loaded.step:,}; {newest}"])
        yield loaded
