"""Threads that take turns at every line of a plugin's code, and at the end of every function of it.

Each sees what the others have half done.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, process_time
from types import CodeType, FrameType
from typing import TypeVar

from charkit.plugins.supervision import kept_process
from charkit.testing.line_tracing import line_tracer
from charkit.testing.thread_states import any_awake, can_see_thread_states, others_sleep

#: How long a thread waits for its turn: longer than a busy machine keeps the other from running. A backend may let a
#: call begin only when another has ended.
_TURN_SECONDS = 0.5
#: If all other threads sleep whenever they are looked at, so often and so far apart, the other thread waits for this
#: one, as for a lock.
_LOOKS, _LOOK_SECONDS = 3, 0.002
#: The same where the system lists no states of threads: the process uses almost no processor time for so long.
_IDLE_SECONDS, _IDLE_SHARE = 0.05, 0.2
#: How long a thread that waits for a lock takes to go on once it is released.
_WAKE_SECONDS = 0.00005
#: How long it may take on a busy machine, which keeps it from running, where the system lists the states of threads;
#: and how long all such threads may take together. Some are awake, but work at something else.
_MOST_WAKE_SECONDS, _MOST_WAKES_SECONDS = 0.02, 2.0
#: Threads that have waited in vain for so long, all in all, go on without turns.
_MOST_SECONDS = 10.0
#: How long a thread waits for the other to begin.
_START_SECONDS = 5.0
ResultT = TypeVar("ResultT")


def _comes_true(condition: threading.Condition, is_true: Callable[[], bool]) -> bool:
    """Whether it becomes true before the process has waited, or worked, for too long."""
    deadline = monotonic() + _TURN_SECONDS
    comes_true_or_idle = _by_states if can_see_thread_states() else _by_processor_time
    while True:
        comes_true, is_idle = comes_true_or_idle(condition, is_true)
        if comes_true or is_idle or monotonic() >= deadline:
            return comes_true


def _by_states(condition: threading.Condition, is_true: Callable[[], bool]) -> tuple[bool, bool]:
    """Whether it becomes true within a few milliseconds, or all other threads sleep meanwhile."""
    for _ in range(_LOOKS):
        if condition.wait_for(is_true, _LOOK_SECONDS):
            return True, False
        if not others_sleep():
            return False, False
    return False, True


def _by_processor_time(condition: threading.Condition, is_true: Callable[[], bool]) -> tuple[bool, bool]:
    """Whether it becomes true within some time, or the process hardly works meanwhile."""
    used = process_time()
    comes_true = condition.wait_for(is_true, _IDLE_SECONDS)
    return comes_true, process_time() - used < _IDLE_SHARE * _IDLE_SECONDS


def _is_alive(thread: int | None) -> bool:
    return thread in sys._current_frames()


class _Turns:
    """Whose turn it is, of threads that alternate once that has begun: those that join, and if asked for, new ones.

    A thread that waits for something gets no turns. Threads that execute the same lines do so side by side: one that is
    behind keeps the turn until it has caught up.
    """

    def __init__(self, *, has_new_threads: bool) -> None:
        self._condition = threading.Condition()
        self._has_new_threads = has_new_threads
        self._known = set(sys._current_frames())
        self._ready: list[int] = []
        self._waiting: set[int] = set()
        self._turn: int | None = None
        self._waited_seconds = self._waking_seconds = 0.0
        #: The line that each thread is about to execute, and those that it has executed.
        self._lines: dict[int, tuple[CodeType, int]] = {}
        self._executed: defaultdict[int, set[tuple[CodeType, int]]] = defaultdict(set)
        self._has_begun = self._has_ended = False

    def begin(self) -> None:
        """Begins with turns."""
        self._has_begun = True

    def hand_over(self, frame: FrameType) -> None:
        """Lets the next thread go on to its next line, and waits until this one's turn comes again."""
        if not self._has_begun or self._has_ended:
            return
        thread = threading.get_ident()
        with self._condition:
            if thread in self._lines:
                self._executed[thread].add(self._lines[thread])
            self._lines[thread] = frame.f_code, frame.f_lineno
            self._add(thread)
            if self._waiting:
                self._let_released_go_on()
            while len(self._ready) > 1 and not self._has_ended:
                self._add(thread)  # others may have left it out, if the system kept it from running
                if self._waited_seconds > _MOST_SECONDS:
                    self._has_ended = True
                    self._condition.notify_all()
                    return
                following = self._ready[(self._ready.index(thread) + 1) % len(self._ready)]
                if self._is_behind(thread, following) and not self._is_behind(following, thread):
                    return
                self._turn = following
                self._condition.notify_all()
                began = monotonic()
                _comes_true(
                    self._condition,
                    lambda: self._turn == thread or self._has_ended or not _is_alive(self._turn),
                )
                if self._turn == thread or self._has_ended:
                    return
                self._waited_seconds += monotonic() - began
                if self._turn in self._ready:
                    self._ready.remove(self._turn)
                    self._waiting.add(self._turn)

    def _let_released_go_on(self) -> None:
        """Gives threads that wait the time to go on, if this one has released them in its last line."""
        self._condition.wait(_WAKE_SECONDS)
        began = monotonic()
        deadline = began + min(_MOST_WAKE_SECONDS, _MOST_WAKES_SECONDS - self._waking_seconds)
        while any_awake(self._waiting) and not self._has_ended and monotonic() < deadline:
            self._condition.wait(_WAKE_SECONDS)
        self._waking_seconds += monotonic() - began

    def _is_behind(self, thread: int, other: int) -> bool:
        """Whether the other thread has executed the line that this one is about to execute, for the first time."""
        line = self._lines.get(thread)
        is_first = line not in self._executed[thread]  # a loop may wait for what the other has yet to do
        return is_first and line != self._lines.get(other) and line in self._executed[other]

    def _add(self, thread: int) -> None:
        """Adds the thread, and new ones, which get a turn before their first line."""
        alive = set(sys._current_frames())  # no lock is needed for it
        new = {thread, *(alive - self._known if self._has_new_threads else ())}
        self._ready = [each for each in self._ready if each in alive] + sorted(new - set(self._ready))
        self._known |= new
        self._waiting = (self._waiting - new) & alive

    def join(self) -> None:
        """Gives this thread turns, before its first line."""
        with self._condition:
            self._add(threading.get_ident())

    def leave(self) -> None:
        """Gives this thread no more turns."""
        with self._condition:
            self._ready = [thread for thread in self._ready if thread != threading.get_ident()]
            self._turn = self._ready[0] if self._ready else None
            self._condition.notify_all()

    def end(self) -> None:
        """Gives no thread any more turns."""
        with self._condition:
            self._has_ended = True
            self._condition.notify_all()


def call_alternating(calls: Sequence[Callable[[], ResultT]], sources: Sequence[Path]) -> list[ResultT]:
    """The results of two calls, made at once, that alternate at every line of the files and folders ``sources``.

    A call that waits for the other, as for a lock, gets no turns meanwhile. Raises what a call raises.
    """
    turns, begun = _Turns(has_new_threads=False), threading.Barrier(len(calls), timeout=_START_SECONDS)
    turns.begin()
    tracer = line_tracer(sources, turns.hand_over, returns=True)

    def run(call: Callable[[], ResultT]) -> ResultT:
        turns.join()
        with suppress(threading.BrokenBarrierError):  # there is no second thread
            begun.wait()
        try:
            with kept_process():
                sys.settrace(tracer)  # of this thread alone
                return call()
        finally:
            sys.settrace(None)
            turns.leave()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


@contextmanager
def alternating_threads(sources: Sequence[Path]) -> Iterator[Callable[[], None]]:
    """This thread, and those that are started meanwhile, alternate at every line of the files and folders ``sources``.

    They do so once the function that is yielded has been called, so that threads and what they keep can be made before.
    Threads that wait for one another go on without turns for as long as they wait.
    """
    turns = _Turns(has_new_threads=True)
    tracer = line_tracer(sources, turns.hand_over, returns=True)
    before, before_of_new_threads = sys.gettrace(), threading.gettrace()
    threading.settrace(tracer)
    sys.settrace(tracer)

    def begin() -> None:
        turns.join()
        turns.begin()

    try:
        yield begin
    finally:
        sys.settrace(before)
        threading.settrace(before_of_new_threads)
        turns.end()
