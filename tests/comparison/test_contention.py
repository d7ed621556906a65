"""How much of the machine other programs take, from the system's counters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charkit import cpu_contention
from charkit.cpu_contention import ContentionMeter

TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """Time as a test has it: the wall's, this process's, and the machine's counters, all in seconds."""

    def __init__(self, stat: Path) -> None:
        self._stat = stat
        self.wall = self.own = 0.0
        self.write(0, 0)

    def write(self, user: float, steal: float) -> None:
        """The line as Linux has it; idle time and time of guests (which is the user's too) do not count."""
        fields = [user, 0, 0, 1e5, 7, 0, 0, steal, 3, 0]
        line = " ".join(str(round(field * TICKS)) for field in fields)
        self._stat.write_text(f"cpu  {line}\ncpu0 1 2 3\n", "ascii")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the real ones."""
    made = Clock(tmp_path / "stat")
    monkeypatch.setattr(cpu_contention, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(cpu_contention.time, "perf_counter", lambda: made.wall)
    monkeypatch.setattr(cpu_contention.time, "process_time", lambda: made.own)
    return made


def test_what_others_took_is_all_that_was_busy_less_ones_own(clock: Clock) -> None:
    began = ContentionMeter()
    clock.wall, clock.own = 10.0, 15.0  # two threads, most of the time
    clock.write(user=18.0, steal=2.0)
    assert began.processors() == pytest.approx(0.5)


def test_nothing_is_less_than_none_at_all(clock: Clock) -> None:
    began = ContentionMeter()
    clock.wall, clock.own = 1.0, 1.01  # the counters are coarser than one's own time
    clock.write(user=1.0, steal=0.0)
    assert began.processors() == 0.0


def test_too_short_a_time_says_nothing(clock: Clock) -> None:
    began = ContentionMeter()
    clock.wall = 0.1
    clock.write(user=0.02, steal=0.0)
    assert began.processors() is None


def test_a_system_without_the_counters_says_nothing(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_contention, "_STAT", tmp_path / "there is none")
    began = ContentionMeter()
    clock.wall = 5.0
    assert began.processors() is None
