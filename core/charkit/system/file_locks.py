"""Locks that belong to a file and go with the process that holds them, however that process ends.

POSIX locks the open file itself (flock). Windows can't: a locked file there can't be read, and a folder with an open
file in it can't be renamed, which charkit does with runs. So on Windows the lock is a file of its own in the folder for
temporary files, named by the identity of the file that is locked. It keeps out the processes of one user on one
machine; those of other machines on a network drive aren't seen.
"""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

_FOLDER = "charkit-locks"

#: POSIX's locks, or None. Loaded here: a file that is made has to be locked a moment later.
_FCNTL: Any
try:
    _FCNTL = import_module("fcntl")
except ImportError:
    _FCNTL = None


class FileLock(Protocol):
    """A lock that is held. ``status`` is that of the locked file, which tells it from another of the same name."""

    @property
    def status(self) -> os.stat_result: ...

    def settle(self) -> None:
        """Ends the use of the handle that was locked, as far as holding the lock does not need it."""

    def release(self) -> None:
        """Lets others take the lock, and closes the handle."""


def try_lock(handle: int) -> FileLock | None:
    """Locks an open file and takes its handle over; None, and the handle stays the caller's, where it is locked."""
    return _LockByIdentity.take(handle) if _FCNTL is None else _LockOfHandle.take(handle)


class _LockOfHandle:
    """POSIX's lock of the open file."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, handle: int) -> _LockOfHandle | None:
        try:
            _FCNTL.flock(handle, _FCNTL.LOCK_EX | _FCNTL.LOCK_NB)
        except BlockingIOError:
            return None
        return cls(handle)

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self._handle)

    def settle(self) -> None:
        """The handle is the lock, so it stays open."""

    def release(self) -> None:
        try:
            _FCNTL.flock(
                self._handle, _FCNTL.LOCK_UN
            )  # a child that is just being started has the handle too
        finally:
            os.close(self._handle)


class _LockByIdentity:
    """A lock file in the folder for temporary files. It stays there, empty: removing it could break another's lock."""

    def __init__(self, handle: int, lock: int) -> None:
        self._handle: int | None = handle
        self._lock = lock
        self.status = os.fstat(handle)

    @classmethod
    def take(cls, handle: int) -> _LockByIdentity | None:
        msvcrt = import_module("msvcrt")
        status = os.fstat(handle)
        folder = Path(tempfile.gettempdir()) / _FOLDER
        folder.mkdir(exist_ok=True)
        # Before Python 3.12, the number of a device had 32 bits; different versions must name the same file.
        name = f"{status.st_dev % 2**32:x}-{status.st_ino % 2**64:x}"
        lock = os.open(folder / name, os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(lock)
            return None
        return cls(handle, lock)

    def settle(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def release(self) -> None:
        self.settle()
        os.close(self._lock)
