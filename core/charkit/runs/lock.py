"""The lock of a run: one training process at a time.

The lock is the operating system's, of the file ``lock``, so it goes with the process that held it, however that ended.
What the file says is for a message alone: a process number that has been given to another process, or one of another
machine, does not lock a run.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.files_by_path import writing
from charkit.runs.folder_files import OpenFolder, write_all
from charkit.system.file_locks import FileLock, try_lock
from charkit.system.folder_entries import HAS_HANDLES, read_at

NAME = "lock"
_HOLDER = re.compile(r"([0-9]{1,10})(?: on ([\w.-]{1,255}))?", re.ASCII)
#: How often a lock is tried: the run may be replaced meanwhile, or ``is_held`` may hold the lock for a moment.
_TRIES = 10
#: Between two tries; ``is_held`` takes far less.
_PROBE_SECONDS = 0.01
#: NFS locks only what is open for writing. Windows locks another file, and waits for one that can't be written.
_PROBE_FLAGS = os.O_RDWR if HAS_HANDLES else os.O_RDONLY


class RunLock:
    """A lock that is held until ``release``, or until the process ends."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> RunLock:
        """Takes the lock of the run in a folder. Raises RunError while another process holds it, and StorageError."""
        for _ in range(_TRIES):
            lock = cls._take(path)
            if lock._is_of(path):
                return lock
            lock.release()  # the run was replaced while its lock was taken, so this is the old one's
        raise RunError(f"the run {str(path)!r} is being replaced by other processes; try again later")

    @classmethod
    def _take(cls, path: Path) -> RunLock:
        with writing(path / NAME), OpenFolder.at(path) as folder:
            handle = folder.open_file(NAME, os.O_RDWR | os.O_CREAT)
            try:
                lock = _lock(handle, path)
            except BaseException:
                os.close(handle)
                raise
            try:
                os.ftruncate(handle, 0)
                write_all(handle, f"{os.getpid()} on {socket.gethostname()}".encode("ascii", "replace"))
                lock.settle()
            except BaseException:
                lock.release()
                raise
        return cls(lock)

    def _is_of(self, path: Path) -> bool:
        """Whether the lock is that of the run that has the path now."""
        try:
            there = os.stat(path / NAME)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, self._lock.status)

    def release(self) -> None:
        """Lets others have the run."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(handle: int, path: Path) -> FileLock:
    """Takes the operating system's lock of an open file. Raises RunError where it is held."""
    for tries_left in reversed(range(_TRIES)):
        lock = try_lock(handle)
        if lock is not None:
            return lock
        if tries_left:
            time.sleep(_PROBE_SECONDS)
    raise RunError(
        f"the run {str(path)!r} is being trained by {_holder(read_at(handle, limits.POINTER, 0))}; "
        "wait for it to finish, or stop it"
    )


def _holder(content: bytes) -> str:
    """The process in a lock file, as a message names it; its machine too where that is another."""
    found = _HOLDER.fullmatch(content.decode("ascii", "replace").strip())
    if found is None:
        return "an unknown process"
    number, host = found.groups()
    return f"process {number}" if host in (None, socket.gethostname()) else f"process {number} on {host}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a run for one training process. Raises RunError while another living process holds it."""
    with RunLock.take(path):
        yield


def is_held(folder: OpenFolder) -> bool:
    """Whether a process holds the lock of the run in an open folder; not where it has no lock file."""
    if folder.status(NAME) is None:
        return False
    try:
        handle = folder.open_file(NAME, _PROBE_FLAGS)
    except OSError:
        handle = folder.open_file(NAME, os.O_RDONLY)  # another user's run, or one on a read-only disk
    try:
        lock = try_lock(handle)
    except BaseException:
        os.close(handle)
        raise
    if lock is None:
        os.close(handle)
        return True
    lock.release()
    return False
