"""CPU contention: how many processors other programs keep busy, as far as the system reports it."""

from __future__ import annotations

import time
from pathlib import Path

from charkit.system.processors import clock_ticks_per_second

#: Seconds below which the system's counters, in hundredths of a second, are too coarse.
SHORTEST_SECONDS = 0.2
_STAT = Path("/proc/stat")


class ContentionMeter:
    """Measures from the moment that it is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy, self._own = _busy_seconds(), time.process_time()

    def processors(self) -> float | None:
        """The mean number of processors that other programs have kept busy since; a hypervisor's share counts too.

        None where the system doesn't report it, or after too short a time.
        """
        passed, busy = time.perf_counter() - self._began, _busy_seconds()
        if self._busy is None or busy is None or passed < SHORTEST_SECONDS:
            return None
        return max(0.0, busy - self._busy - (time.process_time() - self._own)) / passed


def _busy_seconds() -> float | None:
    """Seconds that all processors together have been busy since the machine started. Source: proc(5), /proc/stat."""
    try:
        first = _STAT.read_text("ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    # The columns are user, nice, system, idle, iowait, irq, softirq, steal and two of guests.
    ticks = [int(field) for field in first[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:8])) / clock_ticks_per_second()
