"""How much memory this process uses, for checks that ask whether it grows."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charkit.backend import Backend
from charkit.machine import resident_bytes
from charkit.plugins.declared import device_memory_bytes_of

_PAGES = Path("/proc/self/statm")


def used_bytes(backend: Backend[Any]) -> int:
    """The memory that this process uses now, and the most that it has used of the backend's device.

    What was freed and kept for later is given back first, so that it neither counts nor hides growth. Where
    the system does not list the pages of a process, it is the most that the process has used.
    """
    gc.collect()
    _give_back()
    device = device_memory_bytes_of(backend) or 0
    return resident_bytes() + device


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Has the garbage collector go through new objects alone, and not through a framework's million."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def can_limit() -> bool:
    """Whether the system can be told to refuse memory, which ``at_most`` does."""
    return _PAGES.exists()


@contextmanager
def at_most(more_bytes: int) -> Iterator[None]:
    """Has the system refuse memory beyond so much more than the process has, instead of running out of it.

    What is refused is a MemoryError. Where the system lists no pages of a process, nothing is refused.
    """
    if not can_limit():
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(_PAGES.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") + more_bytes
    if before != resource.RLIM_INFINITY:
        limit = min(limit, before)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def _give_back() -> None:
    """Has the C library return the memory that it keeps; libraries other than glibc have no such function."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
