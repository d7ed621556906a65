"""How much of the machine other programs take meanwhile, as far as the system says."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Seconds below which the system's counters, in hundredths of a second, say too little.
SHORTEST_SECONDS = 0.2
_STAT = Path("/proc/stat")


class Others:
    """Begins when it is made; ``processors`` is the mean number of processors that others have kept busy since."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy, self._own = _busy_seconds(), time.process_time()

    def processors(self) -> float | None:
        """None where the system doesn't say, or after too short a time. What a hypervisor takes counts too."""
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
    ticks = [
        int(field) for field in first[1:]
    ]  # user, nice, system, idle, iowait, irq, softirq, steal, guests
    return (sum(ticks[:3]) + sum(ticks[5:8])) / os.sysconf("SC_CLK_TCK")
