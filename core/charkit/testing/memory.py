"""Measures and limits the memory of this process, for checks of leaks and of exhausted memory."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from charkit.backend import Backend
from charkit.machine import resident_bytes
from charkit.plugins.declared import device_memory_bytes_of
from charkit.system.memory import address_space_limit, page_bytes

#: A hundred times what a vocabulary of 70,000 needs in the checks, and half of what its square needs.
MUCH_FOR_70000_SYMBOLS = 8 << 30
_are_frozen: ContextVar[bool] = ContextVar("objects are frozen", default=False)
_STATM = Path("/proc/self/statm")


def used_bytes(backend: Backend[Any]) -> int:
    """The current memory of this process plus the peak memory of the backend's device.

    Freed memory is returned to the system first, so that it neither counts nor hides growth. On systems that don't
    list the pages of a process, it is the peak memory of the process.
    """
    gc.collect()
    return_freed_memory()
    device = device_memory_bytes_of(backend) or 0
    return resident_bytes() + device


@contextmanager
def frozen_objects() -> Iterator[None]:
    """Excludes existing objects from garbage collection, such as the million objects of a framework.

    Within another ``frozen_objects`` they stay excluded until that ends.
    """
    if _are_frozen.get():
        gc.freeze()
        yield
        return
    frozen_before = gc.get_freeze_count()  # asked here alone: to count a framework's objects takes 20 ms
    gc.freeze()
    token = _are_frozen.set(True)
    try:
        yield
    finally:
        _are_frozen.reset(token)
        if not frozen_before:
            gc.unfreeze()


def can_limit_memory() -> bool:
    """Whether ``memory_limit`` works on this system."""
    return _STATM.exists()


@contextmanager
def memory_limit(more_bytes: int) -> Iterator[None]:
    """Limits the process to this much more memory than it has; allocations beyond it raise MemoryError.

    Has no effect on systems that don't list the pages of a process.
    """
    if not can_limit_memory():
        yield
        return
    with address_space_limit(int(_STATM.read_text("ascii").split()[0]) * page_bytes() + more_bytes):
        yield


def return_freed_memory() -> None:
    """Returns freed memory to the system, if the C library is glibc."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
