"""Reads what a report shows of a run, also while another process trains, resumes or replaces it.

The files of lines are appended to, and everything else is replaced in one step, so each file is whole whenever it is
read. Between two files the run may have been replaced by another one. Then all is read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charkit.config import OptimizerConfig, RunConfig, TrainingConfig
from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.checkpoint import checkpoint_names, open_checkpoints
from charkit.runs.checkpoint_content import PROGRESS, TrainingProgress, parse_progress
from charkit.runs.folder_files import OpenFolder
from charkit.runs.records import METRICS, SAMPLES, SESSIONS
from charkit.runs.run import Run
from charkit.runs.steady_reading import read_steadily
from charkit.text.locations import last_part
from charkit.training.history import History
from charkit.weights import parameter_count


@dataclass(frozen=True)
class RunRecords:
    """A run as it was at one moment. ``written`` is when it last reported, in seconds since the epoch."""

    path: Path
    config: RunConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    text: str
    text_sha256: str
    parameters: int
    history: History
    samples: tuple[Mapping[str, Any], ...]
    sessions: tuple[Mapping[str, Any], ...]
    saved_step: int | None
    written: float | None


def read_run(path: Path) -> RunRecords:
    """Reads a run. Raises RunError for a folder that is none, or is damaged, whoever writes it meanwhile."""
    try:
        return read_steadily(path, lambda: _read(path), awaited=True)
    except OSError as error:
        raise RunError(f"{str(path)!r} can't be read: {error.strerror}") from error


def _read(path: Path) -> RunRecords:
    run = Run.open(path)
    progress = _progress(run)
    return RunRecords(
        path=path,
        config=run.config,
        optimizer=progress.optimizer if progress else run.config.optimizer,
        training=progress.training if progress else run.config.training,
        text=_text_name(run),
        text_sha256=run.text_sha256,
        parameters=parameter_count(run.config.model),
        history=History.from_dicts(run.records(METRICS)),
        samples=tuple(run.records(SAMPLES)),
        sessions=tuple(run.records(SESSIONS)),
        saved_step=progress.step if progress else None,
        written=_modified(path, METRICS),
    )


def _text_name(run: Run) -> str:
    """The names of the text's files, without their folders, which are nobody else's business."""
    if not run.text_sha256:
        return "none (imported run)"
    if not run.config.data.text:
        return "Python's language reference"
    return ", ".join(map(last_part, run.config.data.text))


def _progress(run: Run) -> TrainingProgress | None:
    """The progress that the newest checkpoint holds: the settings may have changed since the run was made.

    Its arrays are not read. None where no checkpoint has one that can be read.
    """
    for name in checkpoint_names(run.path):
        try:
            with open_checkpoints(run.path) as (_, checkpoints), checkpoints.folder(name) as folder:
                return parse_progress(folder.read(PROGRESS, limits.PROGRESS), run.config)
        except (OSError, ValueError, RunError):
            continue  # removed meanwhile, or damaged, which `toolkit check` reports
    return None


def _modified(path: Path, name: str) -> float | None:
    with OpenFolder.at(path) as folder:
        status = folder.status(name)
    return None if status is None else status.st_mtime
