"""Which threads of other processes work, seen from outside. Linux lists them; elsewhere nothing is known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
#: Ticks of processor time, mostly of ten milliseconds: those that don't count, in which threads of what was done before
#: may still spin, and those after which the shares of the threads are known to a twentieth.
_SETTLING, _TICKS = 6, 20
_LONGEST_SECONDS = 60.0
_INTERVAL_SECONDS = 0.002


@dataclass
class Activity:
    """The processor time of each thread of a process, in ticks, and how many ran at once."""

    ticks: Counter[str] = field(default_factory=Counter)
    at_once: Counter[int] = field(default_factory=Counter)

    @property
    def threads(self) -> float:
        """The number of threads that shared the work: ``1 / sum(share**2)``, which is n for n equal shares."""
        total = self.ticks.total()
        return 1.0 / sum((one / total) ** 2 for one in self.ticks.values()) if total else 0.0

    @property
    def overlap(self) -> float:
        """The share of the samples in which several threads were running or ready to run, of those with one."""
        running = sum(count for number, count in self.at_once.items() if number)
        return sum(count for number, count in self.at_once.items() if number > 1) / max(running, 1)


def can_watch() -> bool:
    """Whether the system lists the threads of a process with their times."""
    return (_PROC / "self" / "task").is_dir()


def watch(processes: Sequence[int]) -> list[Activity]:
    """Watches processes that work, until the shares of the threads of each are known."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    _watch(processes, _SETTLING, deadline)
    return _watch(processes, _TICKS, deadline)


def _watch(processes: Sequence[int], ticks: int, deadline: float) -> list[Activity]:
    """Watches until each has used so much processor time."""
    activities = [Activity() for _ in processes]
    begun = [_ticks(process)[0] for process in processes]
    while min(one.ticks.total() for one in activities) < ticks and time.monotonic() < deadline:
        time.sleep(_INTERVAL_SECONDS)
        for process, activity, before in zip(processes, activities, begun, strict=True):
            now, running = _ticks(process)
            activity.at_once[running] += 1
            activity.ticks = Counter({thread: spent - before.get(thread, 0) for thread, spent in now.items()})
    return activities


def _ticks(process: int) -> tuple[dict[str, int], int]:
    """Ticks of processor time by thread, and how many threads are running or ready to run."""
    spent, running = {}, 0
    for task in (_PROC / str(process) / "task").iterdir():
        try:
            text = (task / "stat").read_text("utf-8", errors="replace")
        except OSError:  # it ended meanwhile
            continue
        fields = text.rpartition(")")[2].split()  # state first; utime and stime are the 12th and 13th
        running += fields[0] == "R"
        spent[task.name] = int(fields[11]) + int(fields[12])
    return spent, running
