"""The runs in a directory as a table: what each was trained on, how large it is, how far it has come, and how well."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from charkit.argument_checks import as_path
from charkit.config import check_choice
from charkit.errors import CharkitError, RunError, counted, reason_of
from charkit.html_tables import TEXTS, table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.runs import limits
from charkit.runs.checkpoint import checkpoint_names, open_checkpoints
from charkit.runs.checkpoint_content import (
    COMMON,
    MANIFEST,
    PROGRESS,
    TrainingProgress,
    parse_manifest,
    parse_progress,
)
from charkit.runs.folder_files import OpenFolder
from charkit.runs.identity import identity
from charkit.runs.new_folders import visible_entries
from charkit.runs.planned_end import planned_last_step
from charkit.runs.pointers import pointed_at
from charkit.runs.records import SESSIONS
from charkit.runs.run import RUNS_FOLDER, Run
from charkit.text.corpus import training_size
from charkit.text.locations import last_part
from charkit.text.prepared_manifest import MANIFEST as PREPARED_TEXT
from charkit.weights import parameter_count

PYTHON_REFERENCE = "Python's language reference"
#: A text that came from standard input or as a string: it has no name of its own.
STORED_TEXT = "the text stored in the run"
RunOrder = Literal["name", "text", "size", "backend", "steps", "loss", "saved"]
COLUMNS = ("name", "text", "size", "backend", "steps", "best loss", "saved")


@dataclass(frozen=True)
class ListedRun:
    """One run of a list. For a damaged run, fields that can't be read are None, and ``problem`` says why."""

    name: str
    path: Path
    #: What it was trained on: names of files, "the text stored in the run" for one from standard input or given in
    #: Python, empty for an imported run.
    text: str | None = None
    num_layers: int | None = None
    lstm_size: int | None = None
    parameters: int | None = None
    #: Of the last session; None for an imported run, which had none.
    backend: str | None = None
    steps: int | None = None
    #: The lowest validation loss, nats per symbol; None before the first validation.
    best_loss: float | None = None
    #: When it was saved last.
    saved: datetime | None = None
    problem: str | None = None
    #: The step at which the run is planned to end, by its settings or by the plan made for a time limit; None for an
    #: imported run.
    planned_steps: int | None = None

    @property
    def size(self) -> str:
        """Layers and units, as in ``2 x 128``; empty if they can't be read."""
        return "" if self.lstm_size is None else f"{self.num_layers} x {self.lstm_size}"


class ListedRuns(tuple[ListedRun, ...]):
    """Runs; a notebook shows them as a table."""

    __slots__ = ()

    def as_json(self) -> list[dict[str, Any]]:
        """The runs as ``toolkit runs --json`` prints them."""
        return [
            asdict(run)
            | {"path": str(run.path), "saved": None if run.saved is None else run.saved.isoformat()}
            for run in self
        ]

    def _repr_html_(self) -> str:
        rows = [(*cells_of(run), run.problem or "") for run in self]
        return table_of_rows((*COLUMNS, "problem"), rows, style=TEXTS)


@suggesting_keywords
def list_runs(
    directory: str | PathLike[str] = RUNS_FOLDER, *, sort: RunOrder = "saved", reverse: bool = False
) -> ListedRuns:
    """Lists the runs in a directory, by default ``runs``, the most recently saved first.

        for run in charkit.list_runs(sort="loss"):
            print(run.name, run.size, run.best_loss)

    ``sort`` is one of name, text, size (parameters), backend, steps, loss (the lowest first) and saved (the newest
    first); ``reverse`` reverses the order. Damaged runs come last in any order, with their ``problem``. Array files are
    only checked for presence and size: ``check`` reads every byte.

    Raises RunError if the directory doesn't exist, unless it is the default, and ConfigurationError for any other
    ``sort``, and for what is no path.
    """
    check_choice("sort", sort, get_args(RunOrder))
    folder = as_path("`directory`", directory)
    if not folder.is_dir() and folder != RUNS_FOLDER:
        wrong = (
            f"{str(folder)!r} is not a directory"
            if folder.exists()
            else f"directory {str(folder)!r} doesn't exist"
        )
        raise RunError(f"{wrong}; give a directory that contains runs")
    found = [_listed(path) for path in visible_entries(folder) if _may_be_run(path)]
    key, backwards = _KEYS[sort], reverse != (sort == "saved")
    intact = [run for run in found if run.problem is None]
    damaged = [run for run in found if run.problem is not None]
    return ListedRuns(run for runs in (intact, damaged) for run in _sorted(runs, key, backwards=backwards))


def _sorted(
    runs: Sequence[ListedRun], key: Callable[[ListedRun], Any], *, backwards: bool
) -> Iterator[ListedRun]:
    """The runs in the order of a key, also backwards; those without it come last."""
    yield from sorted((run for run in runs if key(run) is not None), key=key, reverse=backwards)
    yield from (run for run in runs if key(run) is None)


_KEYS: dict[RunOrder, Callable[[ListedRun], Any]] = {
    "name": lambda run: run.name,
    "text": lambda run: run.text,
    "size": lambda run: run.parameters,
    "backend": lambda run: run.backend,
    "steps": lambda run: run.steps,
    "loss": lambda run: run.best_loss,
    "saved": lambda run: run.saved,
}


def cells_of(run: ListedRun) -> tuple[str, ...]:
    """The cells of a run in a table; a dash for what is not known. The time is local."""
    cells: Iterable[str | None] = (
        run.name,
        run.text,
        run.size,
        run.backend,
        None if run.steps is None else _steps(run.steps, run.planned_steps),
        None if run.best_loss is None else f"{run.best_loss:.4f}",
        None if run.saved is None else f"{run.saved.astimezone():%Y-%m-%d %H:%M}",
    )
    return tuple(cell or "-" for cell in cells)


def _steps(steps: int, planned: int | None) -> str:
    """The steps taken, and those planned if some of them are left."""
    return f"{steps:,}" if planned is None or planned <= steps else f"{steps:,}/{planned:,}"


def _may_be_run(path: Path) -> bool:
    """Whether a folder is a run, or was one before it was damaged.

    A prepared text is none, although it has a vocabulary.json too.
    """
    if not path.is_dir():
        return False
    try:
        left = any(_exists(path / name) for name in (*COMMON, "checkpoints", "latest"))
        return identity(path) is not None or (left and not _exists(path / PREPARED_TEXT))
    except OSError:  # a directory of another user, for one: listed with the reason
        return True


def _exists(path: Path) -> bool:
    """Whether there is anything at the path. Raises OSError where that can't be found out."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _listed(path: Path) -> ListedRun:
    try:
        run = Run.open(path)
    except (CharkitError, OSError) as error:
        return ListedRun(path.name, path, saved=_saved_at(path), problem=reason_of(error))
    progress, problem = None, None
    try:
        try:
            progress = _progress(run)
        except (RunError, OSError):  # a training process may have removed the checkpoint that was the latest
            progress = _progress(run)
    except (RunError, OSError) as error:
        problem = reason_of(error)
    sessions = _sessions(run)
    return ListedRun(
        path.name,
        path,
        text=text_of(run),
        num_layers=run.config.model.num_layers,
        lstm_size=run.config.model.lstm_size,
        parameters=parameter_count(run.config.model),
        backend=str(sessions[-1]["backend"]) if sessions else None,
        steps=None if progress is None else progress.step,
        planned_steps=None if progress is None else _planned_steps(run, progress, sessions),
        best_loss=None if progress is None else progress.best_validation_loss,
        saved=_saved_at(path),
        problem=problem,
    )


def _planned_steps(run: Run, progress: TrainingProgress, sessions: Sequence[Mapping[str, Any]]) -> int | None:
    """The step at which the run is planned to end, or has ended; None if the length of its text is not known."""
    patience = progress.training.patience
    if patience is not None and progress.validations_without_gain >= patience:
        return progress.step
    symbols = sessions[-1].get("symbols") if sessions else None
    if not isinstance(symbols, int):  # of an earlier version of charkit, or damaged
        return None
    data = run.config.data
    steps_per_epoch = (training_size(symbols, data) - 1) // (data.batch_size * data.num_steps)
    return planned_last_step(progress, steps_per_epoch)


def _sessions(run: Run) -> list[dict[str, Any]]:
    try:
        return run.records(SESSIONS)
    except (RunError, OSError):
        return []


def text_of(run: Run) -> str:
    """What a run is trained on, in short; empty for an imported run, which has no text."""
    texts = run.config.data.text
    if not run.text_sha256:
        return ""
    if run.stores_text:
        return STORED_TEXT
    return ", ".join(map(last_part, texts)) or PYTHON_REFERENCE


def _progress(run: Run) -> TrainingProgress:
    """That of the latest checkpoint, whose files have the sizes of its manifest. Raises RunError, OSError."""
    name = pointed_at(run.path, "latest") or next(iter(checkpoint_names(run.path)), None)
    if name is None:
        raise RunError("it has no checkpoint")
    try:
        with (
            open_checkpoints(run.path) as (opened, checkpoints),
            checkpoints.folder(name) as folder,
        ):
            for file, entry in parse_manifest(folder.read(MANIFEST, limits.MANIFEST)).items():
                status = (opened if file in COMMON else folder).status(file)
                if status is None or status.st_size != entry.bytes:
                    what = (
                        "is missing"
                        if status is None
                        else f"has {counted(status.st_size, 'byte')}, not {entry.bytes:,}"
                    )
                    raise RunError(f"{file} of checkpoint {name} {what}")
            return parse_progress(folder.read(PROGRESS, limits.PROGRESS), run.config)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        where = "" if missing == name else f"{missing} of "
        raise RunError(f"{where}checkpoint {name} is missing") from error
    except ValueError as error:
        raise RunError(f"checkpoint {name}: {error}") from error


def _saved_at(path: Path) -> datetime | None:
    """When ``latest`` was written; None where it is missing."""
    try:
        with OpenFolder.at(path) as folder:
            status = folder.status("latest")
    except (OSError, RunError):
        return None
    return None if status is None else datetime.fromtimestamp(status.st_mtime, UTC)
