"""Two threads take turns at every line of the given files, as long as neither blocks the other."""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from charkit.testing import alternation
from charkit.testing.alternation import alternating_threads, call_alternating

HERE = [Path(__file__)]


def _wait_for_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is taken for one that waits, on however busy a machine."""
    monkeypatch.setattr(alternation, "_TURN_SECONDS", 60.0)
    monkeypatch.setattr(alternation, "others_sleep", lambda: False)
    monkeypatch.setattr(alternation, "_IDLE_SHARE", 0.0)


def visit(visits: list[int], number: int) -> int:
    visits.append(number)
    visits.append(number)
    visits.append(number)
    return number


def test_the_threads_alternate_at_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _wait_for_turns(monkeypatch)
    visits: list[int] = []
    assert call_alternating([partial(visit, visits, number) for number in range(2)], HERE) == [0, 1]
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]
    assert all(one != other for one, other in pairwise(visits))


def test_other_files_are_not_traced() -> None:
    visits: list[int] = []
    elsewhere = [Path(alternation.__file__)]
    assert call_alternating([partial(visit, visits, number) for number in range(2)], elsewhere) == [0, 1]
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("seen_by", ["states", "processor time", "turns that take too long"])
def test_a_thread_that_waits_for_a_lock_gets_no_turns(monkeypatch: pytest.MonkeyPatch, seen_by: str) -> None:
    monkeypatch.setattr(alternation, "_TURN_SECONDS", 0.05 if "turns" in seen_by else 60.0)
    if seen_by != "states":
        monkeypatch.setattr(alternation, "can_see_thread_states", lambda: False)
    if "turns" in seen_by:
        monkeypatch.setattr(alternation, "_IDLE_SHARE", 0.0)
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


def test_the_threads_alternate_where_a_function_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what the function leaves and what the line that called it does with that."""
    _wait_for_turns(monkeypatch)
    shared = [0]

    def leave(number: int) -> list[int]:
        shared[0] = number
        return shared

    def leave_and_look(number: int) -> int:
        return leave(number)[0]

    found = call_alternating([partial(leave_and_look, number) for number in range(2)], HERE)
    assert found in ([0, 0], [1, 1])


def _visit_in_two_threads(visits: list[int]) -> None:
    other = threading.Thread(target=visit, args=[visits, 1])
    other.start()
    visit(visits, 0)
    other.join()


def test_threads_of_one_call_execute_the_same_lines_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    _wait_for_turns(monkeypatch)
    visits: list[int] = []
    with alternating_threads(HERE) as begin:
        begin()
        _visit_in_two_threads(visits)
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]
    pairs = [set(visits[at : at + 2]) for at in range(0, len(visits), 2)]
    assert pairs == [{0, 1}] * 3


def test_threads_do_not_alternate_before_that_begins() -> None:
    visits: list[int] = []
    with alternating_threads(HERE):
        _visit_in_two_threads(visits)
    assert sorted(visits) == [0, 0, 0, 1, 1, 1]


def test_a_lock_leaves_a_thread_out_until_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternation, "_WAKE_SECONDS", 0.05)
    lock, visits = threading.Lock(), list[int]()

    def visit_alone(number: int) -> None:
        with lock:
            visit(visits, number)
        visit(visits, number + 2)

    with alternating_threads(HERE) as begin:
        begin()
        other = threading.Thread(target=visit_alone, args=[1])
        other.start()
        visit_alone(0)
        other.join()
    alone = [number for number in visits if number < 2]
    assert alone in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    rest = [number for number in visits if number >= 2]
    assert sorted(rest) == [2, 2, 2, 3, 3, 3]
    assert rest not in ([2, 2, 2, 3, 3, 3], [3, 3, 3, 2, 2, 2]), "they alternate again"
