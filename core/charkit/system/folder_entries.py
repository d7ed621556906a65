"""The entries of one folder: reached through the folder's handle where the system can, and by paths elsewhere.

Through a handle a folder stays the same whatever is renamed meanwhile, and no link is followed. By paths, as on
Windows, every file is compared with what its name stood for before and after it was opened, so that a link is refused
and one that is put there in between is noticed.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from charkit.system.renames import exchange, rename_new

#: What is added to the flags of every file that is opened.
#: O_NONBLOCK: opening a pipe that has no writer does not block, so that it can be recognized.
FILE_FLAGS = 0
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
    FILE_FLAGS |= getattr(os, _name, 0)
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
#: Whether the system reaches what is in a folder through the folder's handle. Looked up once: tests replace functions.
HAS_HANDLES = {os.open, os.rename, os.stat, os.mkdir, os.unlink} <= os.supports_dir_fd
#: How long a name that another process has open is tried again, and how often; Windows refuses such renames.
_PATIENCE_SECONDS, _TRIES = 2.0, 20
#: st_reparse_tag of a junction, which Windows follows like a link.
_JUNCTION = 0xA0000003

Result = TypeVar("Result")


def is_own_file(path: Path) -> bool:
    """Whether it is a regular file of the user who runs this, and no link; False where there is none.

    Where a system has no user numbers, any regular file is.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return False
    user: Any = getattr(os, "getuid", None)
    return stat.S_ISREG(status.st_mode) and (user is None or status.st_uid == user())


def is_link(status: os.stat_result) -> bool:
    """Whether an entry leads elsewhere: a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def is_folder(status: os.stat_result) -> bool:
    """Whether an entry is a folder, and no link to one."""
    return stat.S_ISDIR(status.st_mode) and not is_link(status)


class Entries(Protocol):
    """What can be done with the entries of an open folder. Everything raises OSError as ``os`` does."""

    def names(self) -> list[str]: ...

    def modified(self) -> float: ...

    def status(self, name: str) -> os.stat_result: ...

    def open_file(self, name: str, flags: int) -> int: ...

    def open_folder(self, name: str) -> Entries: ...

    def make_folder(self, name: str) -> None: ...

    def rename(self, source: str, target: str) -> None: ...

    def rename_new(self, source: str, target: str) -> None: ...

    def exchange(self, one: str, other: str, aside: str) -> None: ...

    def unlink(self, name: str) -> None: ...

    def remove_tree(self, name: str) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


def open_entries(path: Path) -> Entries:
    """The entries of the folder at a path; links on the way to it are followed."""
    if HAS_HANDLES:
        return EntriesByHandle(os.open(path, _FOLDER_FLAGS))
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return EntriesByPath(path)


def sync_path(path: Path) -> None:
    """Makes a file, or the entries of a folder, durable. Windows has no call for the entries of a folder."""
    if path.is_dir() and not HAS_HANDLES:
        return
    # Windows flushes only what is open for writing.
    handle = os.open(path, os.O_RDONLY if HAS_HANDLES else os.O_RDWR)
    try:
        if path.is_dir():
            _sync_folder(handle)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(handle: int) -> None:
    """Makes the entries of a folder durable, if the file system can: some, as of a virtual machine's host, refuse."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


class EntriesByHandle:
    """Through the folder's handle."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def names(self) -> list[str]:
        return os.listdir(self._handle)

    def modified(self) -> float:
        return os.fstat(self._handle).st_mtime

    def status(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._handle, follow_symlinks=False)

    def open_file(self, name: str, flags: int) -> int:
        return os.open(name, flags | FILE_FLAGS, 0o666, dir_fd=self._handle)

    def open_folder(self, name: str) -> EntriesByHandle:
        return EntriesByHandle(os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._handle))

    def make_folder(self, name: str) -> None:
        os.mkdir(name, dir_fd=self._handle)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def rename_new(self, source: str, target: str) -> None:
        rename_new(source, target, folder=self._handle)

    def exchange(self, one: str, other: str, aside: str) -> None:
        exchange(one, other, folder=self._handle, aside=aside)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self._handle)

    def remove_tree(self, name: str) -> None:
        shutil.rmtree(name, dir_fd=self._handle)

    def sync(self) -> None:
        _sync_folder(self._handle)

    def close(self) -> None:
        os.close(self._handle)


class EntriesByPath:
    """By paths."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()  # the working directory may change meanwhile

    def names(self) -> list[str]:
        return os.listdir(self._path)

    def modified(self) -> float:
        return os.stat(self._path).st_mtime

    def status(self, name: str) -> os.stat_result:
        return os.lstat(self._path / name)

    def open_file(self, name: str, flags: int) -> int:
        """Opens it, and raises OSError with ELOOP where the name does not stand for the file that was opened."""
        path = self._path / name
        handle = _patiently(lambda: os.open(path, flags | FILE_FLAGS, 0o666))
        try:
            there = os.lstat(path)
            if is_link(there) or not os.path.samestat(there, os.fstat(handle)):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        except BaseException:
            os.close(handle)
            raise
        return handle

    def open_folder(self, name: str) -> EntriesByPath:
        if not is_folder(self.status(name)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._path / name))
        return EntriesByPath(self._path / name)

    def make_folder(self, name: str) -> None:
        os.mkdir(self._path / name)

    def rename(self, source: str, target: str) -> None:
        """As POSIX's rename: replaces a file, and a folder that is empty."""
        if os.path.isdir(self._path / source):
            with suppress(FileNotFoundError, NotADirectoryError):
                os.rmdir(self._path / target)  # raises OSError unless it is empty
        _patiently(lambda: os.replace(self._path / source, self._path / target))

    def rename_new(self, source: str, target: str) -> None:
        if os.path.lexists(self._path / target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        _patiently(lambda: os.rename(self._path / source, self._path / target))

    def exchange(self, one: str, other: str, aside: str) -> None:
        """Exchanges two names by three renames; an error puts back what was there."""
        try:
            for source, target in ((other, aside), (one, other), (aside, one)):
                self.rename_new(source, target)
        except BaseException:
            if os.path.lexists(self._path / aside):
                if os.path.lexists(self._path / other):
                    self.rename_new(other, one)
                self.rename_new(aside, other)
            raise

    def unlink(self, name: str) -> None:
        _patiently(lambda: os.unlink(self._path / name))

    def remove_tree(self, name: str) -> None:
        _patiently(lambda: shutil.rmtree(self._path / name))

    def sync(self) -> None:
        """Does nothing: Windows writes a folder's entries when it likes, and its journal keeps them consistent."""

    def close(self) -> None:
        """Does nothing: there is no handle."""


def _patiently(call: Callable[[], Result]) -> Result:
    """Calls again for a while where another process has the file open: a reader, an indexer or a virus scanner."""
    for _ in range(_TRIES - 1):
        with suppress(PermissionError):
            return call()
        time.sleep(_PATIENCE_SECONDS / _TRIES)
    return call()


def read_at(handle: int, size: int, position: int) -> bytes:
    """Reads from a place of an open file. Where the system has no call for it, the file's own position moves."""
    pread: Any = getattr(os, "pread", None)
    if pread is not None:
        return bytes(pread(handle, size, position))
    os.lseek(handle, position, os.SEEK_SET)
    return os.read(handle, size)
