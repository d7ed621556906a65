"""Waiting for pipes, with a limit of time, and their size."""

from __future__ import annotations

import ctypes
import select
import time
from collections.abc import Collection
from contextlib import suppress
from importlib import import_module
from typing import Any

#: Seconds between two looks at a pipe where the system can't wait for it.
_LOOK_SECONDS = 0.01
#: What a large pipe holds; by default, one of Linux holds 65,536 bytes. All pipes of a user together may hold 64 MB.
LARGE_PIPE_BYTES = 2**18


def readable(handles: Collection[int], timeout_seconds: float) -> list[int]:
    """The pipes that have something to read or whose other end is closed, as soon as there is one; none at the end."""
    if not hasattr(select, "poll"):
        return _readable_by_looking(handles, timeout_seconds)
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    return [handle for handle, _ in poll.poll(1000 * max(0.0, timeout_seconds))]


def is_writable(handle: int, timeout_seconds: float | None) -> bool:
    """Whether a write to it would not wait, at the end of the time or before; None waits for as long as it takes.

    Where the system can't tell, as on Windows, it is taken to be writable.
    """
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(handle, select.POLLOUT)
    return bool(poll.poll(None if timeout_seconds is None else 1000 * timeout_seconds))


def enlarge(handle: int) -> None:
    """Lets a pipe hold more bytes, where the system can do so: large messages then wait less often for their reader."""
    with suppress(ImportError, AttributeError, OSError):
        fcntl: Any = import_module("fcntl")  # Windows has none, and other systems can't change the size
        fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, LARGE_PIPE_BYTES)


def _readable_by_looking(handles: Collection[int], timeout_seconds: float) -> list[int]:
    end = time.monotonic() + timeout_seconds
    while True:
        found = [handle for handle in handles if _waiting_bytes(handle) != 0]
        if found or time.monotonic() >= end:
            return found
        time.sleep(_LOOK_SECONDS)


def _waiting_bytes(handle: int) -> int | None:
    """How many bytes wait in a pipe of Windows; None where its other end is closed, so that reading ends at once."""
    count = ctypes.c_uint32()
    peek: Any = ctypes.WinDLL("kernel32").PeekNamedPipe  # type: ignore[attr-defined, unused-ignore]
    peek.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, *[ctypes.c_void_p] * 3]
    pipe = import_module("msvcrt").get_osfhandle(handle)
    return count.value if peek(pipe, None, 0, None, ctypes.byref(count), None) else None
