"""Measures which threads of other processes use the processor. Only Linux lists them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
#: Ticks of processor time, mostly of ten milliseconds: first some that don't count, in which threads of earlier work
#: may still spin, then enough for shares of a twentieth.
_SETTLING_TICKS, _TICKS = 6, 20
_LONGEST_SECONDS = 60.0
_INTERVAL_SECONDS = 0.002


@dataclass
class ThreadUse:
    """The processor time of each thread of a process, in ticks, and how many ran at once."""

    ticks: Counter[str] = field(default_factory=Counter)
    running: Counter[int] = field(default_factory=Counter)

    @property
    def threads(self) -> float:
        """The number of threads that shared the work: ``1 / sum(share**2)``, which is n for n equal shares."""
        total = self.ticks.total()
        return 1.0 / sum((ticks / total) ** 2 for ticks in self.ticks.values()) if total else 0.0

    @property
    def overlap(self) -> float:
        """The share of the samples in which several threads were running or ready to run, of those with one."""
        running = sum(count for number, count in self.running.items() if number)
        return sum(count for number, count in self.running.items() if number > 1) / max(running, 1)


def can_measure_threads() -> bool:
    """Whether the system lists the threads of a process with their times."""
    return (_PROC / "self" / "task").is_dir()


def measure_threads(processes: Sequence[int]) -> list[ThreadUse]:
    """Measures working processes until the shares of their threads are known."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    _measure(processes, _SETTLING_TICKS, deadline)
    return _measure(processes, _TICKS, deadline)


def _measure(processes: Sequence[int], ticks: int, deadline: float) -> list[ThreadUse]:
    """Measures until each process has used this much processor time."""
    uses = [ThreadUse() for _ in processes]
    before = [_ticks(process)[0] for process in processes]
    while min(use.ticks.total() for use in uses) < ticks and time.monotonic() < deadline:
        time.sleep(_INTERVAL_SECONDS)
        for process, use, start in zip(processes, uses, before, strict=True):
            now, running = _ticks(process)
            use.running[running] += 1
            use.ticks = Counter({thread: spent - start.get(thread, 0) for thread, spent in now.items()})
    return uses


def _ticks(process: int) -> tuple[dict[str, int], int]:
    """Ticks of processor time by thread, and how many threads are running or ready to run."""
    spent, running = {}, 0
    for task in (_PROC / str(process) / "task").iterdir():
        try:
            text = (task / "stat").read_text("utf-8", errors="replace")
        except OSError:  # the thread has ended
            continue
        fields = text.rpartition(")")[2].split()  # state first; utime and stime are the 12th and 13th
        running += fields[0] == "R"
        spent[task.name] = int(fields[11]) + int(fields[12])
    return spent, running
