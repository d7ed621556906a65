"""Ctrl-C, termination, a terminal that goes away and a handler's wish, as a request to stop.

Training checks it between two steps, so that it saves first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from charkit import events
from charkit.errors import TerminatedError
from charkit.system.signals import BREAK, HANGUP

#: The signals that request training to stop, and the reason that is given for each.
INTERRUPTIONS: dict[int, events.SignalReason] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
}
if HANGUP is not None:
    INTERRUPTIONS[HANGUP] = "hung_up"
if BREAK is not None:
    INTERRUPTIONS[BREAK] = "terminated"
#: What a message says of each reason.
IN_WORDS: dict[events.Interruption, str] = {
    "interrupted": "interrupted",
    "terminated": "terminated",
    "hung_up": "the terminal was closed",
    "requested": "requested by an event handler",
}
_at_once: ContextVar[bool] = ContextVar("at_once", default=False)


class StopRequest:
    """Whether training shall stop, and why: ``reason`` is that of the first signal, else the handler's, or None."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.by_handler = False

    @property
    def signal_reason(self) -> events.SignalReason | None:
        """ "interrupted", "terminated" or "hung_up"; None as long as there is no signal."""
        return None if self.signal_number is None else INTERRUPTIONS[self.signal_number]

    @property
    def reason(self) -> events.Interruption | None:
        """The reason of the signal, or "requested"; None as long as nothing requests it."""
        return self.signal_reason or ("requested" if self.by_handler else None)

    def note(self, signal_number: int) -> None:
        """Requests to stop because of a signal; the first one counts."""
        if self.signal_number is None:
            self.signal_number = signal_number


class _TerminationSignal(BaseException):
    """A termination signal that stops at once; no plugin's ``except Exception`` takes it for its own."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@contextmanager
def catching_signals(stop_request: StopRequest) -> Iterator[None]:
    """While inside, the first SIGINT, SIGTERM or SIGHUP becomes the stop request; a second SIGINT raises at once.

    A terminal that goes away can send SIGHUP twice, so that a second one changes nothing. Where SIGHUP is ignored, as
    under ``nohup``, it stays ignored.

    Signals can be caught on the main thread alone; on another thread no request ever comes of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    pressed = False  # Ctrl-C; one that comes with the SIGHUP of a closed terminal is no second one

    def request_stop(number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if number == signal.SIGINT and (pressed or _at_once.get()):
            raise KeyboardInterrupt
        pressed = pressed or number == signal.SIGINT
        if _at_once.get():
            raise _TerminationSignal(number)
        stop_request.note(number)

    with _handling(INTERRUPTIONS, request_stop):
        yield


@contextmanager
def _handling(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While inside, the signals are handled so, but for a SIGHUP that is ignored.

    A handler that was not set from Python, as in a program that embeds Python, could not be put back, and stays.
    """
    before = {
        number: signal.signal(number, handler)
        for number in numbers
        if (had := signal.getsignal(number)) is not None and (number != HANGUP or had is not signal.SIG_IGN)
    }
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def stoppable(on_event: events.EventHandler, stop_request: StopRequest) -> events.EventHandler:
    """The event handler, whose StopTraining becomes a stop request; while the text is read, it propagates."""

    def handle(event: events.Event) -> None:
        try:
            on_event(event)
        except events.StopTraining:
            if isinstance(event, events.Reading):
                raise
            stop_request.by_handler = True

    return handle


def announcing_stop(on_event: events.EventHandler | None, stop_request: StopRequest) -> events.EventHandler:
    """The event handler, which also gets ``Stopping`` as soon as there is a stop request, once.

    A request that comes when training has ended for another reason is too late to be announced. While the text is read
    there is nothing to save yet: a request by SIGINT then raises KeyboardInterrupt, and one by another signal raises
    TerminatedError.
    """
    announced = False

    def handle(event: events.Event) -> None:
        nonlocal announced
        number, reason = stop_request.signal_number, stop_request.reason
        if number is not None and isinstance(event, events.Reading):
            raise _without_saving(number)
        too_late = isinstance(event, events.Ended) and event.reason not in IN_WORDS
        if reason is not None and not announced and not too_late and on_event is not None:
            announced = True
            on_event(events.Stopping(reason))
        if on_event is not None:
            on_event(event)

    return handle


@contextmanager
def ending_on_termination() -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise TerminatedError, for work that leaves nothing to save."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise TerminatedError("the terminal was closed" if number == HANGUP else "terminated", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handling((number for number in INTERRUPTIONS if number != signal.SIGINT), end):
        yield


@contextmanager
def terminating_as_interrupting(stop_request: StopRequest) -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does, and are noted in the stop request."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        stop_request.note(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handling([number for number in INTERRUPTIONS if number != signal.SIGINT], interrupt):
        yield


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While inside, a signal that ``catching_signals`` catches raises at once: there is nothing to save yet.

    Raises KeyboardInterrupt for SIGINT, TerminatedError for SIGTERM and SIGHUP.
    """
    token = _at_once.set(True)
    try:
        yield
    except _TerminationSignal as found:
        raise _without_saving(found.signal_number) from None
    finally:
        _at_once.reset(token)


def _without_saving(signal_number: int) -> BaseException:
    if signal_number == signal.SIGINT:
        return KeyboardInterrupt()
    how = IN_WORDS[INTERRUPTIONS[signal_number]]
    return TerminatedError(f"{how} before training began; there was nothing to save", signal_number)
