"""Which parts of a run are whole: checkpoints, pointers, the lines about its training, and a text that it stores."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import get_args

from charkit.argument_checks import as_path, check_booleans
from charkit.errors import RunError, counted
from charkit.html_tables import table_of_fields
from charkit.keyword_suggestions import suggesting_keywords
from charkit.runs import pruning
from charkit.runs.checkpoint import CHECKPOINTS, checkpoint_names, load_checkpoint
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.config_file import TEXT
from charkit.runs.debris import left_over_files, remove_left_over_files
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import is_held, locked
from charkit.runs.newest import newest_run_path
from charkit.runs.pointers import Which, checkpoint_name, pointed_at, repoint, step_of
from charkit.runs.records import METRICS, SAMPLES, SCHEDULE, SESSIONS, open_records
from charkit.runs.run import Run
from charkit.runs.steady_reading import read_steadily

#: How often a run is checked that is trained meanwhile and seems damaged, and the seconds between.
_LOOKS, _PAUSE_SECONDS = 10, 0.1


@dataclass(frozen=True)
class CheckpointCheck:
    """One checkpoint: the name of its directory, its step, and its problem, None if it is intact."""

    name: str
    step: int
    problem: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the checkpoint is intact, so that it can be loaded and resumed."""
        return self.problem is None


@dataclass(frozen=True)
class PointerCheck:
    """``best`` or ``latest``: the checkpoint that it names, the one that it should name, and its problem."""

    name: Which
    named: str | None
    expected: str | None
    problem: str | None = None


@dataclass(frozen=True)
class RecordsCheck:
    """A file of records: how many lines charkit reads, their steps, and how many lines it skips."""

    name: str
    lines: int
    first_step: int | None
    last_step: int | None
    #: Lines that are not JSON, as a crash leaves one.
    cut_short: int
    #: Lines that are JSON, but nothing that charkit writes there.
    foreign: int
    problem: str | None = None


@dataclass(frozen=True)
class RunCheck:
    """What ``check`` found in a run; the newest checkpoint comes first."""

    run: Path
    checkpoints: tuple[CheckpointCheck, ...]
    pointers: tuple[PointerCheck, ...]
    records: tuple[RecordsCheck, ...]
    #: What a process that was killed left half written, as paths in the run.
    debris: tuple[str, ...]
    #: What else lies among the checkpoints and is none of charkit's.
    others: tuple[str, ...]
    #: What is wrong with the text that the run stores; None if it is intact, and for a run that stores none.
    text_problem: str | None = None
    #: What was repaired, one line each; empty unless that was asked for.
    repaired: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the run is undamaged: every checkpoint, both pointers, the text that it stores, and every line
        except one truncated by a crash.
        """
        problems = [
            *(checkpoint.problem for checkpoint in self.checkpoints),
            *(pointer.problem for pointer in self.pointers),
            *(records.problem for records in self.records),
            self.text_problem,
        ]
        return bool(self.checkpoints) and not any(problems)

    @property
    def usable(self) -> tuple[CheckpointCheck, ...]:
        """The intact checkpoints."""
        return tuple(checkpoint for checkpoint in self.checkpoints if checkpoint.whole)

    def _repr_html_(self) -> str:
        named = [
            *((f"checkpoint {checkpoint.name}", checkpoint.problem) for checkpoint in self.checkpoints),
            *((pointer.name, pointer.problem) for pointer in self.pointers),
            *((records.name, records.problem) for records in self.records),
            (TEXT, self.text_problem),
        ]
        return table_of_fields(
            [
                ("run", str(self.run)),
                ("state", "intact" if self.whole else "damaged"),
                ("intact checkpoints", f"{len(self.usable):,} of {len(self.checkpoints):,}"),
                *((name, problem) for name, problem in named if problem),
                *(("partially written", name) for name in self.debris),
                *(("not written by charkit", name) for name in self.others),
                *(("repaired", line) for line in self.repaired),
            ]
        )


@suggesting_keywords
def check(run: str | PathLike[str] | None = None, *, repair: bool = False) -> RunCheck:
    """Checks which checkpoints of a run are intact, its files of records, and the text if it is stored in the run.

    ``run`` defaults to the newest run:

        found = charkit.check("runs/anna-1")
        print(found.whole, [checkpoint.step for checkpoint in found.usable])

    Every file is read and compared with its manifest, and every array and field is validated. With ``repair``,
    ``latest`` and ``best`` are pointed at intact checkpoints, and partial files of a killed process are removed.
    Damaged checkpoints and all other files are kept.

    Raises RunError if the directory is not a run or its configuration or vocabulary is damaged, and, with ``repair``,
    while the run is being trained; ConfigurationError for what is no path; and StorageError.
    """
    path = newest_run_path() if run is None else as_path("`run`", run)
    check_booleans(repair=repair)
    if not repair:
        return read_steadily(path, lambda: _check_steadily(Run.open(path)))
    Run.open(path)  # for its message where there is none
    with locked(path):
        opened = Run.open(path)  # again: it can't be replaced while it is locked
        restored = pruning.restore_replaced(path)
        repaired = [f"restored the name of checkpoint {name}" for name in restored]
        repaired += _repair(path, _check(opened))
        return replace(_check(opened), repaired=tuple(repaired))


def _check_steadily(run: Run) -> RunCheck:
    """Repeats the check of a run that is trained until it is intact or stays the same: a save meanwhile misleads it."""
    before: RunCheck | None = None
    for _ in range(_LOOKS):
        was_trained = _is_trained(run)
        found = _check(run)
        if found.whole or not (was_trained or _is_trained(run)):
            break
        if before is not None and _saved(found) == _saved(before):
            break
        before = found
        time.sleep(_PAUSE_SECONDS)
    return found


def _saved(found: RunCheck) -> tuple[object, ...]:
    """What a save changes; lines are written all the time."""
    return found.checkpoints, found.pointers


def _is_trained(run: Run) -> bool:
    try:
        with OpenFolder.at(run.path) as folder:
            return is_held(folder)
    except (OSError, RunError):
        return False  # the lock can't be opened, and so can't be waited for


def _check(run: Run) -> RunCheck:
    checkpoints, progress = _checkpoints(run)
    return RunCheck(
        run=run.path,
        checkpoints=checkpoints,
        pointers=tuple(_pointer(run.path, which, checkpoints, progress) for which in get_args(Which)),
        records=tuple(_records(run, name) for name in (METRICS, SAMPLES, SCHEDULE, SESSIONS)),
        debris=(
            *left_over_files(run.path),
            *(f"{CHECKPOINTS}/{name}" for name in pruning.left_over_checkpoints(run.path)),
        ),
        others=tuple(f"{CHECKPOINTS}/{name}" for name in pruning.other_entries(run.path)),
        text_problem=_text_problem(run),
    )


def _checkpoints(run: Run) -> tuple[tuple[CheckpointCheck, ...], dict[str, TrainingProgress]]:
    """Every checkpoint, and the progress of the whole ones by name."""
    found, progress = [], {}
    for name in checkpoint_names(run.path):
        try:
            progress[name] = load_checkpoint(run.path / CHECKPOINTS / name, run.config).progress
            problem = None
        except RunError as error:
            if name not in checkpoint_names(run.path):
                continue  # a training process has removed it since
            problem = str(error)
        found.append(CheckpointCheck(name, step_of(name) or 0, problem))
    return tuple(found), progress


def _pointer(
    run: Path, which: Which, checkpoints: tuple[CheckpointCheck, ...], progress: dict[str, TrainingProgress]
) -> PointerCheck:
    expected = _expected(which, progress)
    try:
        named = pointed_at(run, which)
    except RunError as error:
        return PointerCheck(which, None, expected, str(error))
    problem = None
    if named is None and expected is not None:
        problem = "it is missing"
    elif named is not None and named not in progress:
        there = any(checkpoint.name == named for checkpoint in checkpoints)
        problem = f"checkpoint {named} is {'damaged' if there else 'missing'}"
    elif named != expected:
        problem = f"it points to {named}, not {expected}"
    return PointerCheck(which, named, expected, problem)


def _expected(which: Which, progress: dict[str, TrainingProgress]) -> str | None:
    """The checkpoint that a pointer should name, of the whole ones, the newest first; None for none."""
    newest = next(iter(progress), None)
    if which == "latest" or newest is None:
        return newest
    best = progress[newest].best_step
    if best is None or checkpoint_name(best) in progress:
        return None if best is None else checkpoint_name(best)
    scored = [name for name, each in progress.items() if each.best_step == each.step]
    return next(iter(scored), newest)  # the best is lost: the newest that once was


def _records(run: Run, name: str) -> RecordsCheck:
    """Counts the lines of a file, without keeping them."""
    read = cut_short = foreign = 0
    first: int | None = None
    last: int | None = None
    try:
        with open_records(run.path, name) as lines:
            for line in lines:
                if line.record is None:
                    foreign += line.foreign
                    cut_short += not line.foreign
                    continue
                read, step = read + 1, line.record["step"]
                first = step if first is None else min(first, step)
                last = step if last is None else max(last, step)
    except (RunError, OSError) as error:
        return RecordsCheck(name, 0, None, None, 0, 0, str(error))
    problem = f"{counted(foreign, 'line')} not written by charkit" if foreign else None
    return RecordsCheck(name, read, first, last, cut_short, foreign, problem)


def _text_problem(run: Run) -> str | None:
    """What is wrong with the text that the run stores; None if nothing is, or if it stores none."""
    if not run.stores_text:
        return None
    try:
        with OpenFolder.at(run.path) as folder:
            if folder.status(TEXT) is None:
                return "it is missing"
            found = str(folder.fingerprint(TEXT)["sha256"])
    except RunError as error:
        return str(error)
    except OSError as error:
        return f"it can't be read: {error.strerror or error}"
    if found == run.text_sha256:
        return None
    was, now = run.text_sha256[:12], found[:12]
    return f"it has changed since the run was trained (SHA-256 {now}... instead of {was}...)"


def _repair(run: Path, found: RunCheck) -> list[str]:
    """Points the pointers at whole checkpoints and removes debris; what was done, one line each."""
    done = []
    for pointer in found.pointers:
        in_the_way = (run / pointer.name).is_dir() and not (run / pointer.name).is_symlink()
        is_repaired = pointer.expected is not None or pointer.name == "best"
        if pointer.problem is not None and is_repaired and not in_the_way:
            done.append(repoint(run, pointer.name, pointer.expected))
    remove_left_over_files(run)
    pruning.remove_left_over_checkpoints(run)
    left = {*left_over_files(run), *(f"{CHECKPOINTS}/{name}" for name in pruning.left_over_checkpoints(run))}
    return done + [f"removed {name}" for name in found.debris if name not in left]
