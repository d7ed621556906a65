"""What counts as a leak: what grows in every round, and not what an allocator takes in the first few."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from charkit.testing import Subject
from charkit.testing.checks import leaks
from charkit.testing.resources import ResourceUse
from charkit.testing.tolerances import Mismatch


def _judge(growth: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges actions after which the process has so many more megabytes, round by round; it stays as it is then."""
    used = iter([0.0, *(total for total in accumulate(growth) for _ in range(2))])
    monkeypatch.setattr(
        leaks, "resource_use", lambda _backend: ResourceUse(int(1e6 * next(used)), frozenset(), frozenset())
    )
    backend: Any = None
    leaks._require_no_leak(
        backend,
        lambda: None,
        graph_bytes=400_000,
        count=8,
        repeated="results",
        look_at="backend.py",
        warm_up=0,
    )


@pytest.mark.parametrize("first", [[], [8.4], [8.4, 1.1, 1.1, 1.1, 1.1], [1.1] * 11])
def test_memory_that_stops_growing_is_no_leak(first: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    _judge([*first, 0.06], monkeypatch)


def test_memory_that_grows_in_every_round_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Mismatch) as found:
        _judge([8.4, *[0.9] * 11], monkeypatch)
    assert found.value.got == "an increase of at least 0.9 MB for every 8 results"


class Workers:
    """Threads that wait until they are ended, the oldest first."""

    def __init__(self, number: int) -> None:
        self._ends: list[tuple[threading.Event, threading.Thread]] = []
        for _ in range(number):
            self.begin()

    def begin(self) -> None:
        end = threading.Event()
        thread = threading.Thread(target=end.wait, daemon=True)
        thread.start()
        self._ends.append((end, thread))

    def end(self) -> None:
        end, thread = self._ends.pop(0)
        end.set()
        thread.join()

    def end_all(self) -> None:
        while self._ends:
            self.end()


def _judge_threads(action: Callable[[], None]) -> None:
    leaks._require_no_leak(
        Subject("numpy").backend("float32"),
        action,
        graph_bytes=1 << 30,
        count=2,
        repeated="calls",
        look_at="backend.py",
        warm_up=0,
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the threads of a process")
def test_threads_that_begin_are_a_leak_even_while_others_end() -> None:
    leaked, others = Workers(0), Workers(100)

    def leak() -> None:
        leaked.begin()
        others.end()

    try:
        with pytest.raises(Mismatch, match="2 threads for every 2 calls"):
            _judge_threads(leak)
    finally:
        leaked.end_all()
        others.end_all()


def test_threads_that_are_replaced_are_no_leak() -> None:
    pool = Workers(4)

    def replace() -> None:
        pool.begin()
        pool.end()

    try:
        _judge_threads(replace)
    finally:
        pool.end_all()
