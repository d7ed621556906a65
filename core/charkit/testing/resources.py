"""What this process uses that a leak adds to: memory, threads and open files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from charkit.backend import Backend
from charkit.testing.memory import used_bytes

#: Where Linux lists the threads and the open files of a process.
_THREADS, _FILES = Path("/proc/self/task"), Path("/proc/self/fd")


class Growth(NamedTuple):
    """How much more the process uses: bytes of memory, and numbers of threads and of open files."""

    memory: int
    threads: int
    files: int


class ResourceUse(NamedTuple):
    """Bytes of memory, and the names of the threads and of the open files; no names where the system lists none.

    Names instead of numbers: an unrelated thread that ends does not hide one that begins.
    """

    memory: int
    threads: frozenset[str]
    files: frozenset[str]


def resource_use(backend: Backend[Any]) -> ResourceUse:
    """What the process uses now, with the device's memory of ``backend``."""
    return ResourceUse(used_bytes(backend), _names(_THREADS), _names(_FILES))


def _names(folder: Path) -> frozenset[str]:
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def growth(before: ResourceUse, after: ResourceUse, now: ResourceUse) -> Growth:
    """What was added between ``before`` and ``after``; of threads and open files, those that still exist ``now``."""
    return Growth(
        after.memory - before.memory,
        len((after.threads - before.threads) & now.threads),
        len((after.files - before.files) & now.files),
    )
