"""Reading and writing the files of a folder, such as a run, through its open handle; no link is ever followed.

A run may come from a stranger. A link in place of one of its files would lead a write to a file outside of it, and a
device or a pipe in its place would never end. So each file is opened relative to its folder's handle, looked at
before a byte is read or written, and read up to a limit.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal

from charkit.errors import RunError
from charkit.runs.temporary_names import free_name, temporary_name
from charkit.system.folder_entries import Entries, is_folder, is_link, open_entries, read_at

_CHUNK_BYTES = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
#: What becomes of a folder that has the name of a new one already: an error, the same unless it is empty, or removed.
Existing = Literal["refuse", "refuse unless empty", "replace"]


class OpenFolder:
    """A folder by its handle, or by its path where the system has no such handles (``charkit.system.folder_entries``).

    ``path`` is where it was opened, for messages; it may have moved since.

    ``what`` is in messages what the folder is.

    Methods raise RunError for anything that is not a plain file or folder of its own, and OSError.
    """

    def __init__(self, entries: Entries, path: Path, what: str = "run") -> None:
        self._entries = entries
        self.path = path
        self._what = what

    @classmethod
    @contextmanager
    def at(cls, path: Path, what: str = "run") -> Iterator[OpenFolder]:
        """Opens the folder that a user named; links on the way to it are the user's own, and followed."""
        entries = open_entries(path)
        try:
            yield cls(entries, path, what)
        finally:
            entries.close()

    @contextmanager
    def folder(self, name: str) -> Iterator[OpenFolder]:
        """Opens a folder in this one."""
        path = self.path / name
        try:
            entries = self._entries.open_folder(name)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            found = self._entries.status(name)
            wrong = f"{str(path)!r} is {_kind(found)}, but it must be a directory inside the {self._what}"
            advice = "; put a copy of the directory there" if found is not None and is_link(found) else ""
            raise RunError(wrong + advice) from error
        try:
            yield OpenFolder(entries, path, self._what)
        finally:
            entries.close()

    # ---- looking ------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all entries, sorted."""
        return sorted(self._entries.names())

    def status(self, name: str) -> os.stat_result | None:
        """The status of an entry itself, a link's own included; None where there is no such entry."""
        try:
            return self._entries.status(name)
        except FileNotFoundError:
            return None

    def has_folder(self, name: str) -> bool:
        """Whether an entry is a folder, and no link to one."""
        status = self.status(name)
        return status is not None and is_folder(status)

    def holds_only(self, name: str, contents: Collection[str]) -> bool:
        """Whether an entry is a folder with nothing in it but files of these names."""
        if not self.has_folder(name):
            return False
        with self.folder(name) as folder:
            return all(entry in contents and not folder.has_folder(entry) for entry in folder.names())

    def has_link(self, name: str) -> bool:
        """Whether an entry is a link."""
        status = self.status(name)
        return status is not None and is_link(status)

    @property
    def modified(self) -> float:
        """When an entry was last made, renamed or removed, in seconds since the epoch."""
        return self._entries.modified()

    # ---- reading ------------------------------------------------------------------------------------------

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file. Raises RunError for one of more than ``limit`` bytes, before it is read."""
        with self.opened(name, limit) as file:
            return file.read()

    @contextmanager
    def opened(self, name: str, limit: int) -> Iterator[io.BufferedReader]:
        """Opens a file for reading. Raises RunError for one of more than ``limit`` bytes, before it is read."""
        with open(self.open_file(name, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise RunError(
                    f"{str(self.path / name)!r} was not written by charkit: it has {size:,} bytes, but at most "
                    f"{limit:,} are allowed"
                )
            yield file

    def fingerprint(self, name: str) -> dict[str, int | str]:
        """Size and SHA-256 of a file, as a manifest holds them; it is read in pieces."""
        handle = self.open_file(name, os.O_RDONLY)
        try:
            digest, size = sha256(), 0
            while chunk := os.read(handle, _CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            return {"bytes": size, "sha256": digest.hexdigest()}
        finally:
            os.close(handle)

    def open_file(self, name: str, flags: int) -> int:
        """A handle on a plain file with one name, which the caller closes; it is made with O_CREAT among the flags."""
        self._check_plain(
            name, self.status(name)
        )  # before it is opened: opening alone has an effect on some devices
        handle = self._entries.open_file(name, flags)
        try:
            self._check_plain(name, os.fstat(handle))
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _check_plain(self, name: str, status: os.stat_result | None) -> None:
        if status is None or (not is_link(status) and stat.S_ISREG(status.st_mode) and status.st_nlink <= 1):
            return
        raise RunError(
            f"{str(self.path / name)!r} is {_kind(status)}, but a {self._what} may contain only regular files with a "
            f"single hard link; put a copy of the file there (cp -rL copies a {self._what} and the targets of its "
            "links)"
        )

    # ---- writing ------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes) -> None:
        """Makes a new file, durably. Raises FileExistsError where there is one."""
        handle = self.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, name: str, content: bytes) -> None:
        """Replaces a file in one step, durably: a reader sees the old content or the new.

        What had the name, a link too, is replaced itself.
        """
        temporary = temporary_name(name)
        try:
            self.write(temporary, content)
            self._entries.rename(temporary, name)
        except BaseException:
            with suppress(OSError):
                self._entries.unlink(temporary)
            raise
        self.sync()

    def append(self, name: str, line: bytes) -> None:
        """Appends a line, which ends with its line end, also after one that a crash cut short."""
        handle = self.open_file(name, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            size = os.fstat(handle).st_size
            whole = size == 0 or read_at(handle, 1, size - 1) == b"\n"
            write_all(handle, line if whole else b"\n" + line)
        finally:
            os.close(handle)

    def sync(self) -> None:
        """Makes the entries durable."""
        self._entries.sync()

    def remove(self, name: str) -> None:
        """Removes a file, or a folder with all that is in it; a link is removed itself."""
        if self.has_folder(name):
            self._entries.remove_tree(name)
        else:
            self._entries.unlink(name)

    def rename(self, name: str, target: str) -> None:
        """Renames an entry. Raises FileExistsError where the target exists."""
        self._entries.rename_new(name, target)

    @contextmanager
    def new_folder(
        self, name: str, *, existing: Existing = "refuse", contents: Collection[str] | None = None
    ) -> Iterator[OpenFolder]:
        """Yields a temporary folder that gets its name at the end, whole and durable.

        With "replace" it is exchanged with the folder that has the name, which is removed only then. One that holds
        anything but files of the names in ``contents`` becomes NAME-replaced-N instead. If anything fails, what was
        there before is there again, and nothing else.
        """
        temporary = temporary_name(name)
        try:
            self._entries.make_folder(temporary)  # in here, since a signal may come as soon as it is made
            with self.folder(temporary) as folder:
                yield folder
                folder.sync_all()
            if existing == "replace" and self.status(name) is None:
                existing = "refuse"
            self._put_in_place(temporary, name, existing)
        except BaseException:
            with suppress(OSError):
                self.remove(temporary)
            raise
        if existing == "replace":
            with suppress(OSError):  # what is left of the old one is debris, and goes later
                self._remove_replaced(temporary, name, contents)

    def ensure_folder(self, name: str) -> None:
        """Makes a folder unless there is one."""
        with suppress(FileExistsError):
            self._entries.make_folder(name)

    def sync_all(self) -> None:
        """Makes the entries durable, those of the folders in it too; its files were synced as they were written."""
        for name in self.names():
            if self.has_folder(name):
                with self.folder(name) as folder:
                    folder.sync_all()
        self.sync()

    def _put_in_place(self, temporary: str, name: str, existing: Existing) -> None:
        """Gives the temporary folder its name, or exchanges the two, durably; an error undoes it."""
        if existing == "replace":
            self._exchange(temporary, name)
        elif existing == "refuse":
            self.rename(temporary, name)
        else:
            self._entries.rename(temporary, name)
        try:
            self.sync()
        except BaseException:
            if existing == "replace":
                self._exchange(temporary, name)
            else:
                self._entries.rename(name, temporary)
            raise

    def _exchange(self, one: str, other: str) -> None:
        self._entries.exchange(one, other, temporary_name(other, old=True))

    def _remove_replaced(self, temporary: str, name: str, contents: Collection[str] | None) -> None:
        if contents is None or self.holds_only(temporary, contents):
            self.remove(temporary)
        else:
            self.rename(temporary, free_name(f"{name}-replaced", self.names()))


def write_all(handle: int, content: bytes) -> None:
    """Writes all of it, in as many calls as the system needs."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _kind(status: os.stat_result) -> str:
    if is_link(status):
        return "a symbolic link"
    for is_kind, words in _KINDS:
        if is_kind(status.st_mode):
            return words
    return f"a file with {status.st_nlink} hard links" if status.st_nlink > 1 else "a file of another kind"
