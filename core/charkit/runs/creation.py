"""Making the folder of a new run: under a free name, or in place of a run that is overwritten, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from charkit.errors import RunError, StorageError
from charkit.runs.checkpoint import save_checkpoint
from charkit.runs.checkpoint_content import Checkpoint
from charkit.runs.debris import remove_left_over_runs, restore_old
from charkit.runs.files_by_path import write_file
from charkit.runs.folder_files import Existing
from charkit.runs.identity import identity
from charkit.runs.lock import RunLock, locked
from charkit.runs.new_folders import new_folder
from charkit.runs.pointers import point


class NameTakenError(RunError):
    """A run or something else has the name that a new run was to get."""


def check_free(path: Path, overwrite: bool) -> None:
    """Raises RunError unless a run may be made at ``path``."""
    with reserved(path, overwrite):
        pass


@contextmanager
def reserved(path: Path, overwrite: bool) -> Iterator[Existing]:
    """Yields what becomes of a run at ``path`` when a new one is made there; meanwhile no other process has it.

    Raises RunError unless a run may be made there.
    """
    restore_old(path)
    if not os.path.lexists(path):
        yield "refuse"
        return
    if not overwrite or identity(path) is None:
        raise _taken(path)
    with locked(path):
        yield "replace"


def make_run(
    path: Path, files: Mapping[str, bytes], first: Checkpoint, existing: Existing, hold: ExitStack | None
) -> None:
    """Makes the folder of a run with these files and its first checkpoint.

    Its lock is taken before it gets its name, so that no other process can have it first, and handed to ``hold``; the
    lock ends with this call where that is None. Raises NameTakenError and StorageError, with nothing changed.
    """
    remove_left_over_runs(path)
    with ExitStack() as stack:
        try:
            with new_folder(path, existing=existing) as folder:
                stack.enter_context(RunLock.take(folder))
                for name, content in files.items():
                    write_file(folder / name, content)
                save_checkpoint(folder, first)
                point(folder, "latest", first.progress.step)
        except StorageError as error:
            if isinstance(error.__cause__, FileExistsError) and os.path.lexists(path):
                raise _taken(path) from error
            raise
        if hold is not None:
            hold.enter_context(stack.pop_all())


def _taken(path: Path) -> NameTakenError:
    if identity(path) is None:
        return NameTakenError(
            f"{str(path)!r} already exists and is not a charkit run, so it is never overwritten; choose another `run`"
        )
    return NameTakenError(
        f"the run {str(path)!r} already exists; continue it with `resume={str(path)!r}`, replace it with "
        "`overwrite=True`, or choose another `run`"
    )
