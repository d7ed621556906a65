"""Ctrl-C and termination as a request to stop, which training checks between two steps, so that it saves first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from charkit.errors import TerminatedError
from charkit.training import events

_at_once: ContextVar[bool] = ContextVar("at_once", default=False)


class StopRequest:
    """Whether training shall stop, and why: ``reason`` is "interrupted", "terminated" or None."""

    def __init__(self) -> None:
        self.reason: events.Interruption | None = None


class _TerminationSignal(BaseException):
    """A termination signal that stops at once; no plugin's ``except Exception`` takes it for its own."""


@contextmanager
def catching_signals(stop_request: StopRequest) -> Iterator[None]:
    """While inside, the first SIGINT or SIGTERM becomes the stop request; a second SIGINT raises KeyboardInterrupt.

    Signals can be caught on the main thread alone; on another thread no request ever comes of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and (stop_request.reason is not None or _at_once.get()):
            raise KeyboardInterrupt
        if _at_once.get():
            raise _TerminationSignal
        stop_request.reason = "interrupted" if number == signal.SIGINT else "terminated"

    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def announcing_stop(on_event: events.EventHandler | None, stop_request: StopRequest) -> events.EventHandler:
    """The event handler, which also gets ``Stopping`` as soon as there is a stop request, once.

    While the text is read there is nothing to save yet. A request by SIGINT then raises
    KeyboardInterrupt, and one by SIGTERM raises TerminatedError.
    """
    announced = False

    def handle(event: events.Event) -> None:
        nonlocal announced
        if stop_request.reason is not None:
            if isinstance(event, events.Reading):
                raise _without_saving(stop_request.reason)
            if not announced and on_event is not None:
                announced = True
                on_event(events.Stopping(stop_request.reason))
        if on_event is not None:
            on_event(event)

    return handle


@contextmanager
def terminating_as_interrupting(stop_request: StopRequest) -> Iterator[None]:
    """While inside, SIGTERM raises KeyboardInterrupt, as SIGINT does, and is noted in the stop request."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop_request.reason = "terminated"
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
    """While inside, a signal that ``catching_signals`` catches raises at once: there is nothing to save yet.

    Raises KeyboardInterrupt for SIGINT, TerminatedError for SIGTERM.
    """
    token = _at_once.set(True)
    try:
        yield
    except _TerminationSignal:
        raise _without_saving("terminated") from None
    finally:
        _at_once.reset(token)


def _without_saving(reason: events.Interruption) -> BaseException:
    if reason == "interrupted":
        return KeyboardInterrupt()
    return TerminatedError("terminated before training began; there was nothing to save")
