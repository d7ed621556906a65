"""Measures which threads of other processes use the processor. Only Linux lists them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
#: Processor time of each process: first some that doesn't count, in which threads of earlier work may still spin,
#: then enough for shares of a twentieth on systems that update it every few milliseconds. Half as much is enough to
#: distinguish one thread from two.
_SETTLING_SECONDS, _MEASURED_SECONDS, _BRIEFLY_MEASURED_SECONDS = 0.05, 0.12, 0.06
#: The share of these times after which a clear result is enough.
_CLEAR_SHARE = 1 / 3
#: What is clear: one thread did nearly all the work, or several did at once. On a busy machine, neither may be.
_ALONE_THREADS, _ALONE_OVERLAP = 1.4, 0.25
_TOGETHER_THREADS, _TOGETHER_BALANCE, _TOGETHER_OVERLAP = 1.7, 0.6, 0.3
_LONGEST_SECONDS = 60.0
_INTERVAL_SECONDS = 0.002
#: All threads that ended while a process was measured count as one: a backend may start new ones in each call.
_ENDED = "ended"
#: The unit of a process's times in /proc, always a hundredth of a second on Linux, and how far the sum may be off.
_TICK_NANOSECONDS, _PRECISION_TICKS = 10_000_000, 2


@dataclass
class ThreadUse:
    """The processor time of each thread of a process, in nanoseconds, and how many ran at once."""

    nanoseconds: Counter[str] = field(default_factory=Counter)
    running: Counter[int] = field(default_factory=Counter)

    @property
    def threads(self) -> float:
        """The number of threads that shared the work: ``1 / sum(share**2)``, which is n for n equal shares."""
        total = self.nanoseconds.total()
        return 1.0 / sum((spent / total) ** 2 for spent in self.nanoseconds.values()) if total else 0.0

    @property
    def balance(self) -> float:
        """The time of the thread that worked second most, as a share of the time of the one that worked most."""
        most, second, *_ = [*sorted(self.nanoseconds.values(), reverse=True), 0, 0]
        return second / max(most, 1)

    @property
    def is_clear(self) -> bool:
        """Whether it can hardly be mistaken for another number of threads."""
        if self.overlap < _ALONE_OVERLAP:
            return self.threads < _ALONE_THREADS
        is_shared = self.threads > _TOGETHER_THREADS and self.balance > _TOGETHER_BALANCE
        return is_shared and self.overlap > _TOGETHER_OVERLAP

    @property
    def overlap(self) -> float:
        """The share of the samples in which several threads were running or ready to run, of those with one."""
        running = sum(count for number, count in self.running.items() if number)
        return sum(count for number, count in self.running.items() if number > 1) / max(running, 1)


def can_measure_threads() -> bool:
    """Whether the system lists the threads of a process with their times."""
    return (_PROC / "thread-self" / "schedstat").is_file()


def measure_threads(processes: Sequence[int]) -> list[ThreadUse]:
    """Measures working processes until the shares of their threads are known."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    _measure(processes, _SETTLING_SECONDS, deadline)
    return _measure(processes, _MEASURED_SECONDS, deadline, clear_share=_CLEAR_SHARE)


def measure_settled_threads(process: int) -> ThreadUse:
    """Measures a process that has just done other work on no more threads; distinguishes one thread from two."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    (use,) = _measure([process], _BRIEFLY_MEASURED_SECONDS, deadline, clear_share=_CLEAR_SHARE)
    return use


def _measure(
    processes: Sequence[int], seconds: float, deadline: float, clear_share: float = 1.0
) -> list[ThreadUse]:
    """Measures until each process has used this much processor time, or that share of it with clear results."""
    uses = [ThreadUse() for _ in processes]
    before = [(_threads(process)[0], _nanoseconds_of(process)) for process in processes]
    while time.monotonic() < deadline:
        share = min(use.nanoseconds.total() for use in uses) / (1e9 * seconds)
        if share >= 1 or (share >= clear_share and all(use.is_clear for use in uses)):
            break
        time.sleep(_INTERVAL_SECONDS)
        for process, use, (start, all_at_start) in zip(processes, uses, before, strict=True):
            now, running = _threads(process)
            use.running[running] += 1
            use.nanoseconds = Counter({thread: spent - start.get(thread, 0) for thread, spent in now.items()})
            ended = _nanoseconds_of(process) - all_at_start - use.nanoseconds.total()
            if ended > _PRECISION_TICKS * _TICK_NANOSECONDS:
                use.nanoseconds[_ENDED] = ended
    return uses


def _nanoseconds_of(process: int) -> int:
    """The processor time of all threads of a process, also of those that have ended, to the precision of a tick."""
    try:
        fields = (
            (_PROC / str(process) / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:  # the process has ended
        return 0
    return _TICK_NANOSECONDS * sum(map(int, fields[11:13]))  # in user mode and in the kernel


def _threads(process: int) -> tuple[dict[str, int], int]:
    """Nanoseconds of processor time by thread, and how many threads are running or ready to run."""
    spent, running = {}, 0
    for task in (_PROC / str(process) / "task").iterdir():
        try:
            state = (task / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[0]
            spent[task.name] = int((task / "schedstat").read_text("ascii").split()[0])
        except OSError:  # the thread has ended
            continue
        running += state == "R"
    return spent, running
