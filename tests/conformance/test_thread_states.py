"""Threads that wait are distinguished from threads that work or could work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest

from charkit.testing.thread_states import can_see_thread_states, others_sleep

pytestmark = pytest.mark.skipif(
    not can_see_thread_states(), reason="the system doesn't list the states of threads"
)
_PATIENCE_SECONDS = 20.0


def _comes_true(is_true: Callable[[], bool]) -> bool:
    deadline = monotonic() + _PATIENCE_SECONDS
    while not is_true() and monotonic() < deadline:
        sleep(0.002)
    return monotonic() < deadline


def test_a_thread_that_waits_for_a_lock_sleeps() -> None:
    lock = threading.Lock()
    with lock:
        thread = threading.Thread(target=lock.acquire, daemon=True)
        thread.start()
        assert _comes_true(others_sleep)
    thread.join()


def test_a_thread_that_works_does_not_sleep() -> None:
    has_ended = threading.Event()

    def work() -> None:
        while not has_ended.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        assert _comes_true(lambda: not others_sleep())
    finally:
        has_ended.set()
        thread.join()
