"""A temporary folder that does not outlive its process for long, not even one that is killed.

The process holds a lock in it. The next process to create a folder with the same prefix removes those that have such a
lock which nobody holds. The lock has a name that no other program uses, so that a user's own folder is never removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from charkit.system.file_locks import FileLock, try_lock
from charkit.system.folder_entries import FILE_FLAGS

#: Not the name of a run's lock: a user may have a run, whose folder begins with the prefix, beside these folders.
_LOCK = ".charkit-owner"


class OwnedFolder:
    """A new folder in ``parent``, whose name begins with the prefix; those of killed processes are removed."""

    def __init__(self, prefix: str, parent: Path) -> None:
        _remove_left_over(prefix, parent)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self._lock: FileLock | None = _locked(self.path)

    def remove(self) -> None:
        """Removes the folder. Does nothing the second time."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self._lock.release()
            self._lock = None


def _locked(folder: Path) -> FileLock:
    """Makes the lock of a new folder. Nobody sees the lock before it is held."""
    made = folder / f"{_LOCK}-new"
    lock = try_lock(os.open(made, os.O_CREAT | os.O_RDWR, 0o600))
    assert lock is not None  # the file is new, so no other process has it open
    lock.settle()
    made.rename(folder / _LOCK)
    return lock


def _remove_left_over(prefix: str, parent: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            handle = os.open(folder / _LOCK, os.O_RDWR | FILE_FLAGS)
        except OSError:  # another user's, or one that is just being made or removed
            continue
        lock = try_lock(handle)
        if lock is None:  # its process lives
            os.close(handle)
            continue
        try:
            lock.settle()
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
