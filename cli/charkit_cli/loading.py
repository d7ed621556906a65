"""Options and loading that the commands share which read a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from charkit import api
from charkit.config import Precision
from charkit.runs.checkpoint import Which
from charkit_cli.options import DEFAULT
from charkit_cli.output import notes, to_log

RunArgument = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="a run's folder; unset, the newest in runs/"),
]
Checkpoint = Annotated[
    Which,
    typer.Option(
        "--checkpoint",
        metavar="CHOICE",
        help=f"which of the run's checkpoints: best, latest {DEFAULT.format('best')}",
        show_default=False,
    ),
]
ComputePrecision = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        metavar="CHOICE",
        help="float32, float64 or bfloat16; unset, float32, or float64 for a run that was trained in it",
    ),
]


def load(run: Path | None, checkpoint: Which, **engine: Any) -> api.LoadedRun:
    """Loads the run on the chosen engine and tells what was stepped over."""
    loaded = api.load_run(run, checkpoint=checkpoint, **engine)
    notes(to_log(), loaded.notes)
    return loaded
