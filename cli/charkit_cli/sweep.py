"""``toolkit sweep``: many runs that vary a few settings, of which the best go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charkit import events
from charkit_cli.options import DEFAULT, Device, Json
from charkit_cli.sweep_progress import sweep_progress
from charkit_cli.sweep_table import print_sweep
from charkit_cli.terminal_output import print_json, to_log, to_user
from charkit_cli.train_result import EXIT_STATUS
from charkit_sweep import SweepResult, sweep
from charkit_sweep.folder import SWEEPS_FOLDER
from charkit_sweep.page import REPORT, report_object

EXAMPLES = (
    "toolkit sweep learning-rates.toml",
    "toolkit sweep learning-rates.toml --trials 27 --parallel 2 --time-limit 2h",
    "toolkit sweep --resume",
    "toolkit sweep --resume learning-rates --trials 50",
)

Spec = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC|NAME",
        help="TOML file with the text, fixed settings and axes (the settings to vary); required for a new sweep; "
        "with --resume, a sweep's name or directory, by default the one saved last in sweeps/",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="resume a sweep exactly where it stopped",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="name of the sweep's directory in sweeps/ " + DEFAULT.format("from SPEC"),
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="INT",
        help="number of trials " + DEFAULT.format("from SPEC, or the whole grid"),
    ),
]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel",
        metavar="INT",
        help=f"number of trials to train at the same time {DEFAULT.format(1)}",
        show_default=False,
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        metavar="TIME",
        help="save all trials and stop after this time, such as 90s, 10m or 2h",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="INT",
        help="number of CPU threads per trial " + DEFAULT.format("an equal share of all"),
    ),
]


def command(
    spec: Spec = None,
    resume: Resume = False,
    name: Name = None,
    trials: Trials = None,
    parallel: Parallel = 1,
    time_limit: TimeLimit = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Runs the sweep, prints its best trials, and returns the exit status."""
    is_file = spec is not None and (spec.endswith(".toml") or Path(spec).is_file())
    is_file &= not (resume and spec is not None and (SWEEPS_FOLDER / spec).is_dir())
    with sweep_progress(to_log()) as show:
        result = sweep(
            spec if is_file or not resume else None,
            resume=(resume if is_file or spec is None else spec) if resume else False,
            name=name,
            trials=trials,
            parallel=parallel,
            time_limit=time_limit,
            threads=threads,
            device=device,
            on_event=show,
            progress=lambda stage, fraction: show(events.Reading(stage, fraction)),
        )
    if as_json:
        print_json(report_object(result))
    else:
        print_sweep(to_user(), result)
    (to_log() if as_json else to_user()).print(f"report: {result.folder / REPORT}", markup=False)
    return _exit_status(result)


def _exit_status(result: SweepResult) -> int:
    """That of the signal that ended it; 1 where every trial failed."""
    interrupted = EXIT_STATUS.get(result.stopped_because)
    return interrupted or int(result.best is None and result.stopped_because == "done")
