"""Counts the operations on files below a folder, makes one of them fail, and knows what a loss of power would leave.

The model of the page cache is the strict one of POSIX: what a file holds is durable once the file was synced, and what
names a folder has once the folder was. ``crash_image`` writes what is durable into another folder; with a random
generator, each file and each folder has either what is durable or what it has now, as if the system had written some
of it out by itself. Real file systems do more than that (ext4 writes renames in order, journals order metadata), so
whatever is whole here is whole there; what the model leaves out is a disk that lies about what it wrote, and half of a
sector.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from charkit.system import renames

#: What changes a file or a folder, besides opening one with O_CREAT and syncing.
CHANGES = ("write", "ftruncate", "mkdir", "rename", "replace", "link", "unlink", "rmdir")
#: What a full disk refuses; it can still remove, and rename.
NEED_ROOM = ("open", "write", "mkdir", "link", "fsync")


class Killed(BaseException):
    """The process was killed: nothing that it does from here on has an effect."""


class Fault(NamedTuple):
    """What happens at the n-th operation: an error of this number, or a kill; ``lasts``: at all later ones too."""

    at: int
    number: int | None = None
    lasts: bool = False


class FileOperations:
    """The operations on files below ``root``, while patched in."""

    def __init__(self, root: Path, fault: Fault | None = None) -> None:
        self.root = root
        self.fault = fault
        self.count = 0
        #: The operation that failed last.
        self.failed = ""
        self._killed = False
        self._names: dict[int, dict[str, int]] = {}
        self._contents: dict[int, bytes] = {}
        self._kept: dict[int, int] = {}  # a handle on each, so that no number is given to another file
        self._paused = False
        for folder, _, files in os.walk(root):
            self._sync(folder)
            for name in files:
                self._sync(os.path.join(folder, name))

    @contextmanager
    def patched(self) -> Iterator[FileOperations]:
        """Counts, and fails where it should."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGES:
                patch.setattr(os, name, self._change(name, getattr(os, name)))
            patch.setattr(os, "open", self._open(os.open))
            patch.setattr(os, "fsync", self._fsync(os.fsync))
            real = renames._rename_in_one_call
            patch.setattr(renames, "_rename_in_one_call", self._in_one_call(real))
            yield self
            self._paused = True

    def close(self) -> None:
        for handle in self._kept.values():
            os.close(handle)
        self._kept.clear()

    # ---- what fails ---------------------------------------------------------------------------------------

    def _enter(self, name: str) -> None:
        """Counts an operation, and fails instead of it if it is the one."""
        if self._paused:
            return
        if self._killed:
            raise Killed
        self.count += 1
        fault = self.fault
        if fault is None or self.count < fault.at or (self.count > fault.at and not fault.lasts):
            return
        if fault.number is None:
            self._killed = True
            raise Killed
        if not fault.lasts or name in NEED_ROOM:
            self.failed = name
            raise OSError(fault.number, os.strerror(fault.number))

    def _change(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            self._enter(name)
            return real(*arguments, **options)

        return change

    def _in_one_call(self, real: Callable[..., bool]) -> Callable[..., bool]:
        def rename(*arguments: Any) -> bool:
            if renames._system_call() is not None:
                self._enter("rename")
            return real(*arguments)

        return rename

    def _open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if not self._paused and flags & os.O_CREAT:
                self._enter("open")
            return real(path, flags, *rest, **options)

        return opened

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            self._enter("fsync")
            if not self._paused:
                self._sync(handle)

        return fsync

    # ---- what is durable ----------------------------------------------------------------------------------

    def _sync(self, target: int | str) -> None:
        """Takes what a file or a folder holds now for durable."""
        paused, self._paused = self._paused, True
        try:
            path = f"/proc/self/fd/{target}" if isinstance(target, int) else target
            number = self._keep(os.open(path, os.O_RDONLY))
            handle = self._kept[number]
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                self._names[number] = self._look(handle)
            else:
                self._contents[number] = _content(handle)
        finally:
            self._paused = paused

    def _keep(self, handle: int) -> int:
        number = os.fstat(handle).st_ino
        if number in self._kept:
            os.close(handle)
            return number
        self._kept[number] = handle
        return number

    def _look(self, handle: int) -> dict[str, int]:
        """The names in a folder now, and what they lead to."""
        return {
            name: self._keep(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=handle))
            for name in os.listdir(handle)
        }

    def crash_image(self, target: Path, random: Random | None = None) -> Path:
        """Writes what a loss of power would leave of the root, now; returns ``target``."""
        self._paused = True
        self._write(os.stat(self.root).st_ino, target, random)
        return target

    def _write(self, number: int, target: Path, random: Random | None) -> None:
        by_itself = random is not None and random.random() < 0.5
        if stat.S_ISDIR(os.fstat(self._kept[number]).st_mode):
            target.mkdir()
            names = self._look(self._kept[number]) if by_itself else self._names.get(number, {})
            for name, below in names.items():
                self._write(below, target / name, random)
            return
        content, now = self._contents.get(number, b""), _content(self._kept[number])
        if by_itself and random is not None and content != now:
            content = now[: random.randint(0, len(now))]
        target.write_bytes(content)


def _content(handle: int) -> bytes:
    return Path(f"/proc/self/fd/{handle}").read_bytes()
