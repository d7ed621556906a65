"""Which files of symbols were read and found right, so that gigabytes are not hashed again for every command.

What is remembered is an empty file in the user's cache, named by a hash of what the system says about the file of
symbols: where it is on disk, its size, and when its content and its status last changed. The system sets the last of
these at every write, and no program can set it back.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from charkit.errors import StorageError
from charkit.system.folder_entries import is_own_file
from charkit.text.encoded_file import scratch_folder

FOLDER = "verified-texts"
_MARK = re.compile("[0-9a-f]{64}")
#: Days after which what was not used is forgotten.
KEPT_DAYS = 90
#: More than the steps in which systems count the times of files.
TICK_NANOSECONDS = 50_000_000


def is_verified(handle: int, verdict: str) -> bool:
    """Whether this was found out about an open file, which has not changed since."""
    with suppress(OSError, StorageError):
        mark = _mark(os.fstat(handle), verdict)
        if is_own_file(mark):  # the folder may be one for all users, where anybody could put a mark
            os.utime(mark)
            return True
    return False


def remember_verified(handle: int, before: os.stat_result, verdict: str) -> None:
    """Remembers what was found out about an open file, unless it has changed since ``before``, when it was read.

    Where that can't be written, the file will be read again. So will one that was written a moment ago, which could
    change without getting another time.
    """
    now = os.fstat(handle)
    if _identity(now) != _identity(before) or time.time_ns() - now.st_ctime_ns < TICK_NANOSECONDS:
        return
    with suppress(OSError, StorageError):
        mark = _mark(now, verdict)
        mark.parent.mkdir(exist_ok=True)
        _forget_old(mark.parent)
        mark.touch()


def _mark(status: os.stat_result, verdict: str) -> Path:
    name = sha256(f"{_identity(status)} {verdict}".encode()).hexdigest()
    return scratch_folder() / FOLDER / name


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _forget_old(folder: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for mark in folder.iterdir():
        with suppress(FileNotFoundError):  # another process has removed it
            status = mark.stat()
            if _MARK.fullmatch(mark.name) and status.st_size == 0 and status.st_mtime < oldest:
                mark.unlink()
