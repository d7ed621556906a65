"""The memory of this process, in bytes, as the system's own calls report and limit it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any


def peak_resident_bytes() -> int:
    """The most memory that was resident. On Linux it can be that of the process that started this one."""
    resource = _resource()
    if resource is None:
        return _windows_counters().PeakWorkingSetSize
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


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
