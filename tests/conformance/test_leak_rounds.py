"""What counts as a leak: memory that grows in every round, and not what an allocator takes in the first few."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest

from charkit.testing.checks import leaks
from charkit.testing.tolerances import Mismatch


def _judge(growth: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges actions after which the process has so many more megabytes, round by round; it stays as it is then."""
    used = iter([0.0, *(total for total in accumulate(growth) for _ in range(2))])
    monkeypatch.setattr(leaks, "_use", lambda _backend: leaks._Use(1e6 * next(used), 0, 0))
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
    assert found.value.got == "at least 1 MB more after every 8 results"
