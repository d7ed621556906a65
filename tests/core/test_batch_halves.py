"""The two halves of a batch, what becomes of their results, and the thread that computes one of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from charkit.backend import State
from charkit.batch_halves import LastingThread, halves, joined

LAYERS, TIME, UNITS, SYMBOLS = 2, 3, 4, 5


def _concatenate(parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
    return np.concatenate(parts, axis)


@given(st.integers(1, 9), st.booleans())
def test_halves_joined_again_are_the_batch(batch_size: int, has_masks: bool) -> None:
    symbols = np.arange(batch_size * TIME).reshape(batch_size, TIME)
    hidden = np.arange(LAYERS * batch_size * UNITS).reshape(LAYERS, batch_size, UNITS)
    masks = np.arange(LAYERS * batch_size * TIME * UNITS).reshape(LAYERS, batch_size, TIME, UNITS)
    parts = halves(symbols, State(hidden, -hidden), masks if has_masks else None)
    assert [len(part[0]) for part in parts] == [
        size for size in (-(-batch_size // 2), batch_size // 2) if size
    ]
    if batch_size == 1:
        return
    again, state = joined([part[:2] for part in parts], _concatenate, batch_axis_of_logits=0)
    np.testing.assert_array_equal(again, symbols)
    np.testing.assert_array_equal(state.hidden, hidden)
    np.testing.assert_array_equal(state.cell, -hidden)
    if has_masks:
        np.testing.assert_array_equal(np.concatenate([part[2] for part in parts], axis=1), masks)
    else:
        assert [part[2] for part in parts] == [None, None]


@pytest.mark.parametrize("axis", [0, 1])
def test_logits_are_joined_along_their_own_axis(axis: int) -> None:
    logits = np.arange(LAYERS * TIME * SYMBOLS).reshape(LAYERS, TIME, SYMBOLS)
    parts = np.split(logits, [1], axis)
    np.testing.assert_array_equal(joined(parts, _concatenate, batch_axis_of_logits=axis), logits)


def test_one_other_thread_makes_every_call() -> None:
    thread = LastingThread("lasting")
    threads = {thread.submit(threading.get_ident).result() for _ in range(5)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_error_is_raised_by_the_future() -> None:
    def fail() -> None:
        raise ValueError("planted")

    thread = LastingThread("lasting")
    with pytest.raises(ValueError, match="planted"):
        thread.submit(fail).result()
    assert thread.submit(lambda: 5).result() == 5


def test_calls_are_made_here_if_no_thread_can_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    made: list[int] = []
    thread = LastingThread("lasting")
    thread.submit(lambda: made.append(threading.get_ident())).result()
    assert made == [threading.get_ident()]
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda: 1 // 0).result()
    monkeypatch.undo()
    assert thread.submit(threading.get_ident).result() != threading.get_ident()
    assert len(made) == 1  # not again once a thread can begin
