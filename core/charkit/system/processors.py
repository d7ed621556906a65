"""The processors that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from math import ceil
from typing import Any

from charkit.system.cpu_quota import cpu_quota


def available_processors() -> int:
    """How many there are, which can be fewer than the machine has: by affinity, or by a container's limit."""
    allowed, quota = allowed_processors(), cpu_quota()
    count: Any = getattr(os, "process_cpu_count", os.cpu_count)  # the first from Python 3.13 on
    limits = [
        count() or 1,
        *([] if allowed is None else [len(allowed)]),
        *([] if quota is None else [ceil(quota)]),
    ]
    return max(1, min(limits))


def allowed_processors() -> list[int] | None:
    """Their numbers, sorted; None where the system does not tell them."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return None if affinity is None else sorted(affinity(0))


def clock_ticks_per_second() -> int:
    """The unit in which POSIX systems count processor time."""
    sysconf: Any = getattr(os, "sysconf", None)
    return 100 if sysconf is None else int(sysconf("SC_CLK_TCK"))


def lower_priority(increment: int) -> None:
    """Lets other processes go first, where the system has niceness and allows it."""
    nice: Any = getattr(os, "nice", None)
    with suppress(OSError):
        if nice is not None:
            nice(increment)
