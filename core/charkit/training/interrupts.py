"""Ctrl-C and termination as a wish that training looks at between two steps, so that it saves first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Literal

Interruption = Literal["interrupted", "terminated"]

_at_once: ContextVar[bool] = ContextVar("at_once", default=False)


class StopWish:
    """Whether the user or the system wants training to stop, and which of the two."""

    def __init__(self) -> None:
        self.reason: Interruption | None = None


class _Terminated(BaseException):
    """A termination signal that stops at once; no plugin's ``except Exception`` takes it for its own."""


@contextmanager
def catching_signals(wish: StopWish) -> Iterator[None]:
    """While inside, turns the first SIGINT or SIGTERM into the wish; a second SIGINT interrupts at once, as usual.

    Signals can be caught on the main thread alone; on another thread the wish never comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and (wish.reason is not None or _at_once.get()):
            raise KeyboardInterrupt
        if _at_once.get():
            raise _Terminated
        wish.reason = "interrupted" if number == signal.SIGINT else "terminated"

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminating_as_interrupting(wish: StopWish) -> Iterator[None]:
    """While inside, SIGTERM raises KeyboardInterrupt as SIGINT does, and leaves in the wish that it was the one."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        wish.reason = "terminated"
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While inside, a signal is no wish but stops at once: there is nothing yet to save, and it may take long."""
    token = _at_once.set(True)
    try:
        yield
    except _Terminated:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        _at_once.reset(token)
