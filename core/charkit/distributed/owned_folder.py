"""A temporary folder that does not outlive its process for long, not even one that is killed.

The process holds a lock in it. Whoever makes a folder with the same prefix later removes those whose lock nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK = "lock"


class OwnedFolder:
    """A new folder in ``parent``, whose name begins with the prefix; those of killed processes are removed."""

    def __init__(self, prefix: str, parent: Path) -> None:
        _remove_left_over(prefix, parent)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self._lock: int | None = _locked(self.path)

    def remove(self) -> None:
        """Removes the folder. Does nothing the second time."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def _locked(folder: Path) -> int:
    """Makes the lock of a new folder. Nobody sees the lock before it is held."""
    made = folder / f"{_LOCK}-new"
    handle = os.open(made, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    made.rename(folder / _LOCK)
    return handle


def _remove_left_over(prefix: str, parent: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # another user's, or one that is just being made or removed
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # its process lives
            continue
        finally:
            os.close(handle)
