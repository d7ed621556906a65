"""Two threads take turns at every line of the given files, as long as neither blocks the other."""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from charkit.testing import alternation
from charkit.testing.alternation import call_alternating

HERE = [Path(__file__)]


def visit(visits: list[int], number: int) -> int:
    visits.append(number)
    visits.append(number)
    visits.append(number)
    return number


def test_the_threads_alternate_at_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternation, "_TURN_SECONDS", 60.0)  # on however busy a machine
    monkeypatch.setattr(alternation, "_IDLE_SHARE", 0.0)
    visits: list[int] = []
    assert call_alternating([partial(visit, visits, number) for number in range(2)], HERE) == [0, 1]
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]
    assert all(one != other for one, other in pairwise(visits))


def test_other_files_are_not_traced() -> None:
    visits: list[int] = []
    elsewhere = [Path(alternation.__file__)]
    assert call_alternating([partial(visit, visits, number) for number in range(2)], elsewhere) == [0, 1]
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("turn_seconds", "idle_share"), [(60.0, 0.2), (0.05, 0.0)])
def test_a_lock_ends_the_turns(
    monkeypatch: pytest.MonkeyPatch, turn_seconds: float, idle_share: float
) -> None:
    """Either because the process is idle, or because a turn takes too long."""
    monkeypatch.setattr(alternation, "_TURN_SECONDS", turn_seconds)
    monkeypatch.setattr(alternation, "_IDLE_SHARE", idle_share)
    lock, visits = threading.Lock(), list[int]()

    def visit_alone(number: int) -> int:
        with lock:
            return visit(visits, number)

    assert call_alternating([partial(visit_alone, number) for number in range(2)], HERE) == [0, 1]
    assert visits in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> int:
        raise ValueError("it fails")

    with pytest.raises(ValueError, match="it fails"):
        call_alternating([lambda: 1, fail], HERE)
