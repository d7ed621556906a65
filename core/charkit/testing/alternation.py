"""Two calls in two threads that take turns at every line of a plugin's code: each sees what the other has half done."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, process_time
from typing import TypeVar

from charkit.plugins.supervision import kept_process
from charkit.testing.line_tracing import line_tracer

#: How long a thread waits for its turn: longer than a busy machine keeps the other from running. A backend may let a
#: call begin only when another has ended.
_TURN_SECONDS = 0.5
#: If the process uses almost no processor time for so long, the other thread waits for this one, as for a lock.
_IDLE_SECONDS, _IDLE_SHARE = 0.05, 0.2
#: How long a thread waits for the other to begin.
_START_SECONDS = 5.0
ResultT = TypeVar("ResultT")


class _Turns:
    """Whose turn it is, of two threads. Once one has ended, or has waited too long, both go on freely."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._turn = 0
        self._is_free = False
        self._begun = threading.Barrier(2, timeout=_START_SECONDS)

    def begin(self) -> None:
        """Waits until both threads have begun."""
        with suppress(threading.BrokenBarrierError):  # there is no second thread
            self._begun.wait()

    def hand_over(self, thread: int) -> None:
        """Lets the other thread go on to its next line, and waits for it."""
        with self._condition:
            self._turn = 1 - thread
            self._condition.notify_all()
            has_turn = self._waits_for_turn(thread)
            self._is_free = self._is_free or not has_turn

    def _waits_for_turn(self, thread: int) -> bool:
        """Whether it becomes the thread's turn before the other one has waited, or worked, for too long."""
        deadline = monotonic() + _TURN_SECONDS
        while True:
            used = process_time()
            if self._condition.wait_for(lambda: self._is_free or self._turn == thread, _IDLE_SECONDS):
                return True
            if process_time() - used < _IDLE_SHARE * _IDLE_SECONDS or monotonic() >= deadline:
                return False

    def end(self) -> None:
        """Takes no more turns."""
        with self._condition:
            self._is_free = True
            self._condition.notify_all()


def call_alternating(calls: Sequence[Callable[[], ResultT]], sources: Sequence[Path]) -> list[ResultT]:
    """The results of two calls, made at once, that alternate at every line of the files and folders ``sources``.

    Raises what a call raises.
    """
    turns = _Turns()

    def run(thread: int) -> ResultT:
        turns.begin()
        try:
            with kept_process():
                sys.settrace(line_tracer(sources, lambda _: turns.hand_over(thread)))  # of this thread alone
                return calls[thread]()
        finally:
            sys.settrace(None)
            turns.end()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, thread) for thread in range(len(calls))]]
