"""Writing to disk so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from charkit.errors import StorageError
from charkit.runs.open_folder import Existing, OpenFolder
from charkit.runs.temporary_names import temporary_name
from charkit.system.folder_entries import sync_path

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the disk is read-only; choose another directory",
    errno.EACCES: "permission denied; choose another directory",
    errno.EPERM: "permission denied; choose another directory",
    errno.ENOTEMPTY: "another process has created it; choose another directory",
    errno.EISDIR: "a directory is in the way; move it elsewhere",
    errno.EEXIST: "a file is in the way; choose another directory",
    errno.ENOTDIR: "a part of the path is a file; choose another directory",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an operating system's error into a StorageError that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        what = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise StorageError(f"can't write {str(path)!r}: {what}") from error


def sync(path: Path) -> None:
    """Makes a file, or the entries of a folder, durable."""
    sync_path(path)


def write_file(path: Path, content: bytes) -> None:
    """Makes a new file in a folder that is still temporary, and makes it durable."""
    with OpenFolder.at(path.parent) as folder:
        folder.write(path.name, content)


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file in one step: a reader sees the old content or the new."""
    with writing(path), OpenFolder.at(path.parent) as folder:
        folder.replace(path.name, content)


def to_line(record: dict[str, Any]) -> bytes:
    """The record as a line of JSON."""
    return encoded(json.dumps(record, ensure_ascii=False) + "\n")


def to_json(content: Any) -> bytes:
    """The content as indented JSON."""
    return encoded(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def encoded(text: str) -> bytes:
    """The text in UTF-8.

    What stands for the bytes of a file name that is not UTF-8 is written as an escape, which JSON reads back.
    """
    return text.encode("utf-8", "backslashreplace")


@contextmanager
def new_folder(path: Path, *, existing: Existing = "refuse unless empty") -> Iterator[Path]:
    """Yields a temporary folder beside ``path`` that becomes ``path`` at the end, whole and durable.

    With "replace", a folder that was there before is exchanged for the new one in one step, and then removed. If
    anything fails, or the process is interrupted, what was there is there again, and nothing else.
    """
    with (
        writing(path),
        parents_made(path.parent),
        OpenFolder.at(path.parent) as parent,
        parent.new_folder(path.name, existing=existing) as folder,
    ):
        yield folder.path


@contextmanager
def parents_made(folder: Path) -> Iterator[None]:
    """While inside, the folder exists, made with its parents if need be; where that fails, they are gone again."""
    made = _missing_parents(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
        for each in made:
            sync(each.parent)
    except BaseException:
        for each in made:
            with suppress(OSError):  # it was not made, or another process uses it now
                each.rmdir()
        raise


def check_new_folder(path: Path) -> None:
    """Raises StorageError where ``new_folder`` would fail, for callers that compute for long before they write."""
    with writing(path):
        made = _missing_parents(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        tried = path.with_name(temporary_name(path.name))
        tried.mkdir()
        for folder in (tried, *made):
            folder.rmdir()


def next_free_folder(parent: Path, name: str) -> Path:
    """The path of the first free ``NAME-N`` in a folder: N is one more than the highest there, or 1. Makes nothing.

    Names that differ in case alone count too, since some file systems take them for the same.
    """
    pattern = re.compile(re.escape(name.casefold()) + r"-([0-9]{1,18})")
    names = (entry.name.casefold() for entry in visible_entries(parent))
    taken = [int(match[1]) for entry in names if (match := pattern.fullmatch(entry))]
    return parent / f"{name}-{max(taken, default=0) + 1}"


def visible_entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden ones such as a run that a crash left half made.

    Empty where there is no such folder.
    """
    return [path for path in sorted(folder.iterdir()) if path.name[0] != "."] if folder.is_dir() else []


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _missing_parents(path: Path) -> list[Path]:
    """The folders that must be made so that ``path`` exists, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]
