"""Writing to disk so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from charkit.errors import StorageError

_ADVICE = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "writing there is not allowed; choose another folder",
    errno.EPERM: "writing there is not allowed; choose another folder",
    errno.ENOTEMPTY: "another process has made it; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
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
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file in a folder that is still temporary, and makes it durable."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file in one step: a reader sees the old content or the new."""
    with writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        temporary = Path(name)
        try:
            write_file(temporary, content)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Appends one JSON object as a line of its own, also after a line that a crash cut short."""
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    with writing(path), path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Replaces a file of lines in one step."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    replace_file(path, "".join(lines).encode())


def to_json(content: Any) -> bytes:
    """The content as indented JSON."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside ``path`` that becomes ``path`` at the end, whole and durable.

    With ``replace``, a folder that was there before is removed once the new one is in place. If anything
    fails, or the process is interrupted, the temporary folder is removed and ``path`` is not made.
    """
    with writing(path):
        made = _missing_parents(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for folder, _, _ in os.walk(temporary):
                sync(Path(folder))  # its files were synced as they were written
            _put_in_place(temporary, path, replace)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            for parent in made:
                parent.rmdir()
            raise
        sync(path.parent)


def check_new_folder(path: Path) -> None:
    """Raises StorageError where ``new_folder`` would fail, for callers that compute for long before they write."""
    with writing(path):
        made = _missing_parents(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-")), *made):
            folder.rmdir()


def next_free_folder(parent: Path, name: str) -> Path:
    """The path of the first free ``NAME-N`` in a folder: N is one more than the highest there, or 1. Makes nothing."""
    pattern = re.compile(re.escape(name) + r"-(\d+)")
    taken = [int(match[1]) for entry in visible_entries(parent) if (match := pattern.fullmatch(entry.name))]
    return parent / f"{name}-{max(taken, default=0) + 1}"


def visible_entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden ones such as a run that a crash left half made.

    Empty where there is no such folder.
    """
    return [path for path in sorted(folder.iterdir()) if path.name[0] != "."] if folder.is_dir() else []


def _put_in_place(folder: Path, path: Path, replace: bool) -> None:
    if not (replace and path.exists()):
        folder.rename(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-old-"))
    path.replace(old)  # an empty folder may be replaced by a folder
    folder.rename(path)
    shutil.rmtree(old)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
