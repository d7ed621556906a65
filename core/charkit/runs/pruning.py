"""What may be removed from a run's checkpoints, and what a killed process left among them."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from itertools import islice
from pathlib import Path

from charkit.runs.checkpoint import (
    CHECKPOINTS,
    CONTENTS,
    checkpoint_names,
    open_checkpoints,
    step_inside,
    whole_checkpoints,
)
from charkit.runs.checkpoint_content import MANIFEST, PROGRESS
from charkit.runs.debris import is_left_over, restore_old_folders
from charkit.runs.files_by_path import writing
from charkit.runs.folder_files import OpenFolder
from charkit.runs.pointers import pointed_at, step_of
from charkit.runs.temporary_names import temporary_name, temporary_of

#: Whole checkpoints that are kept besides the best one.
KEEP_NEWEST = 2


def prune(run: Path, written: Container[str] = ()) -> None:
    """Removes all checkpoints but the best and the newest whole ones, and what a crash left half written.

    ``written`` are the names of those that this process wrote: they are durable, and are not read again. Whatever
    charkit did not write stays, with the checkpoint that it lies in, as does a checkpoint under the name of another
    step.
    """
    keep = {folder.name for folder in islice(whole_checkpoints(run, written), KEEP_NEWEST)}
    keep.add(pointed_at(run, "best") or "")
    with open_checkpoints(run) as (_, checkpoints):
        for name in checkpoints.names():
            if name in keep:
                continue
            with suppress(OSError):  # a file that a reader holds may go at the next save
                if _is_own(checkpoints, name):
                    temporary = temporary_name(name)  # so that what a kill leaves of it is surely charkit's
                    checkpoints.rename(name, temporary)
                    checkpoints.remove(temporary)
                elif _is_left_over(checkpoints, name):
                    checkpoints.remove(name)


def left_over_checkpoints(run: Path) -> list[str]:
    """The names of checkpoints that a killed process left half written, or half removed."""
    with suppress(FileNotFoundError), open_checkpoints(run) as (_, checkpoints):
        return [name for name in checkpoints.names() if _is_left_over(checkpoints, name)]
    return []


def remove_left_over_checkpoints(run: Path) -> None:
    """Removes those of a run whose lock the caller holds."""
    for name in left_over_checkpoints(run):
        with suppress(OSError), open_checkpoints(run) as (_, checkpoints):
            checkpoints.remove(name)


def other_entries(run: Path) -> list[str]:
    """The names of what lies among the checkpoints and is none of charkit's, which it leaves alone."""
    own = {*checkpoint_names(run), *left_over_checkpoints(run)}
    with suppress(FileNotFoundError), open_checkpoints(run) as (_, checkpoints):
        return [name for name in checkpoints.names() if name not in own]
    return []


def restore_replaced(run: Path) -> list[str]:
    """Gives checkpoints their names back that a process was replacing when it was killed; returns their names."""
    with suppress(FileNotFoundError), writing(run / CHECKPOINTS), open_checkpoints(run) as (_, checkpoints):
        return restore_old_folders(checkpoints, CONTENTS)
    return []


def _is_own(checkpoints: OpenFolder, name: str) -> bool:
    """Whether an entry is a checkpoint, damaged or not, that has the name of its step and holds nothing else."""
    if step_of(name) is None or not checkpoints.holds_only(name, CONTENTS):
        return False
    with checkpoints.folder(name) as folder:
        step = step_inside(folder)
        if step is None:
            return not {MANIFEST, PROGRESS}.isdisjoint(folder.names())
    return step == step_of(name)


def _is_left_over(checkpoints: OpenFolder, name: str) -> bool:
    return step_of(temporary_of(name) or "") is not None and is_left_over(
        checkpoints, name, CONTENTS, is_locked_by_caller=True
    )
