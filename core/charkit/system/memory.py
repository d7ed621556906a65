"""The memory of this process, in bytes, as the system's own calls report and limit it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import Any

#: Just below the limit beyond which glibc always asks the system, with room for what it adds to a block.
_LARGEST_KEPT = (32 << 20) - (64 << 10)


def peak_resident_bytes() -> int:
    """The most memory that was resident. On Linux it can be that of the process that started this one."""
    resource = _resource()
    if resource is None:
        return _windows_counters().PeakWorkingSetSize
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@cache
def keep_freed_memory() -> None:
    """Lets the GNU C library keep more of the memory that is freed, for the next use.

    At first the library asks the system for each block from 128 KiB on, and gives it back once it is freed, which costs
    a page fault per 4 KiB whenever it is used. With each larger block that is freed it raises that limit, up to 32 MiB
    (``mallopt(3)``). So one of nearly that size is freed here, of which nothing is ever written. From then on, up to 64
    MiB at the end of each heap stay in the process, and so do free blocks between used ones. On the machine of
    docs/performance.md, a training step at 2x128 took about 7% less time with NumPy, and a third less with PyTorch.

    Has no effect where the user has set a limit (such as ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_``), on
    32-bit systems, or with other C libraries.
    """
    with suppress(MemoryError):
        bytes(_LARGEST_KEPT)  # from calloc, which leaves memory that the system has zeroed as it is


@contextmanager
def address_space_limit(limit: int) -> Iterator[None]:
    """Limits the address space of the process, as far as no lower limit is set already.

    Has no effect on systems that have no such limit.
    """
    resource = _resource()
    if resource is None:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    if before != resource.RLIM_INFINITY:
        limit = min(limit, before)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def page_bytes() -> int:
    """The size of a page of memory."""
    sysconf: Any = getattr(os, "sysconf", None)
    return 4096 if sysconf is None else int(sysconf("SC_PAGE_SIZE"))


def total_bytes() -> int | None:
    """The memory of the machine; None where the system does not report it."""
    sysconf: Any = getattr(os, "sysconf", None)
    if sysconf is None:
        status = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))
        return status.ullTotalPhys if _kernel32().GlobalMemoryStatusEx(ctypes.byref(status)) else None
    with suppress(ValueError, OSError):
        return int(sysconf("SC_PAGE_SIZE")) * int(sysconf("SC_PHYS_PAGES"))
    return None


def _resource() -> Any:
    """POSIX's module ``resource``, or None."""
    try:
        return import_module("resource")
    except ImportError:
        return None


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS. Source: the Windows API's documentation of psapi.h."""

    PeakWorkingSetSize: int
    WorkingSetSize: int
    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
        ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX. Source: the Windows API's documentation of sysinfoapi.h."""

    ullTotalPhys: int  # noqa: N815 - the name of the Windows API
    _fields_ = (
        ("dwLength", ctypes.c_uint32),
        ("dwMemoryLoad", ctypes.c_uint32),
        ("ullTotalPhys", ctypes.c_uint64),
        ("ullAvailPhys", ctypes.c_uint64),
        ("ullTotalPageFile", ctypes.c_uint64),
        ("ullAvailPageFile", ctypes.c_uint64),
        ("ullTotalVirtual", ctypes.c_uint64),
        ("ullAvailVirtual", ctypes.c_uint64),
        ("ullAvailExtendedVirtual", ctypes.c_uint64),
    )


def _windows_counters() -> _Counters:
    """What Windows counts of this process; all 0 where the call fails."""
    counters = _Counters(cb=ctypes.sizeof(_Counters))
    kernel = _kernel32()
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return counters


def resident_bytes() -> int | None:
    """The memory that is resident now, where a system's call reports it; None elsewhere, as on Linux and macOS."""
    return _windows_counters().WorkingSetSize if _resource() is None else None


def _kernel32() -> Any:
    return ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
