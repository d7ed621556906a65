"""Single files, by path: written so that a crash leaves either the old file or the new one, and hashed.

What a run's own folder contains is reached through its handle instead (``charkit.runs.folder_files``).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from charkit.errors import StorageError
from charkit.runs.folder_files import OpenFolder
from charkit.system.folder_entries import sync_path

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota has been reached; free some space",
    errno.EROFS: "the disk is read-only; choose another directory",
    errno.EACCES: "permission denied; choose another directory",
    errno.EPERM: "permission denied; choose another directory",
    errno.ENOTEMPTY: "another process has created it; choose another directory",
    errno.EISDIR: "a directory is in the way; move it elsewhere",
    errno.EEXIST: "a file is in the way; choose another directory",
    errno.ENOTDIR: "part of the path is a file; choose another directory",
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


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
