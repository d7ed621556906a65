"""One thread is stopped at a line until another is half done; neither waits for ever."""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from charkit.testing import interruption
from charkit.testing.interruption import call_interrupting, lines_of
from charkit.testing.tolerances import Mismatch
from charkit.testing.unchanged_settings import unchanged_settings

HERE = [Path(__file__)]


def visit(visits: list[str], name: str) -> str:
    visits.append(f"{name} begins")
    visits.append(f"{name} goes on")
    visits.append(f"{name} ends")
    return name


def calls(visits: list[str]) -> list[partial[str]]:
    return [partial(visit, visits, name) for name in ("one", "two")]


def test_lines_of_other_files_are_not_counted() -> None:
    first = visit.__code__.co_firstlineno
    found = lines_of(partial(visit, [], "one"), HERE)
    assert [(Path(file).name, line - first) for file, line in found] == [
        (Path(__file__).name, line) for line in (1, 2, 3, 4)
    ]
    assert lines_of(partial(visit, [], "one"), [Path(threading.__file__)]) == []


def test_the_second_is_half_done_while_the_first_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WAIT_SECONDS", "_STOP_SECONDS"):  # on however busy a machine
        monkeypatch.setattr(interruption, name, 60.0)
    visits: list[str] = []
    assert call_interrupting(calls(visits), HERE, (2, 3)) == ["one", "two"]
    assert visits == ["one begins", "two begins", "two goes on", "one goes on", "one ends", "two ends"]


def test_a_line_that_is_never_reached_stops_nothing() -> None:
    visits: list[str] = []
    assert call_interrupting(calls(visits), HERE, (9, 9)) == ["one", "two"]
    assert len(visits) == 6


def test_a_lock_that_the_stopped_call_holds_ends_the_wait() -> None:
    lock, visits = threading.Lock(), list[str]()

    def visit_alone(name: str) -> str:
        with lock:
            return visit(visits, name)

    assert call_interrupting([partial(visit_alone, name) for name in ("one", "two")], HERE, (3, 3)) == [
        "one",
        "two",
    ]
    assert visits == [f"{name} {what}" for name in ("one", "two") for what in ("begins", "goes on", "ends")]


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> str:
        raise ValueError("it fails")

    with pytest.raises(ValueError, match="it fails"):
        call_interrupting([fail, partial(visit, [], "two")], HERE, (1, 1))


def test_a_setting_that_was_left_changed_hides_no_change() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)  # as an earlier call of the same backend may have left it
    try:
        with pytest.raises(Mismatch, match="thread switch interval"), unchanged_settings():
            sys.setswitchinterval(0.001)
        assert sys.getswitchinterval() == 0.001
    finally:
        sys.setswitchinterval(before)
