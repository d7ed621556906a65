"""The observers of one session of training: started before it, given its events, and waited for after it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from charkit import events
from charkit.errors import ConfigurationError, ObserverError, shown
from charkit.observers.discovery import find_observer
from charkit.observers.process import ObserverProcess
from charkit.plugins.failures import describe_error

#: Seconds for an observer to import its library.
START_SECONDS = 120.0
#: Seconds after training for an observer to write what it has.
FINISH_SECONDS = 60.0
#: The same where a second Ctrl-C ended training at once.
INTERRUPTED_SECONDS = 3.0
#: Seconds after which a wait for an observer is reported.
PATIENCE_SECONDS = 3.0
_log = logging.getLogger(__name__)


class Observers:
    """An event handler that hands events to observers too; one that fails is reported, once, and gets no more.

    Observers get the events from ``Started`` on; the caller's handler gets those of reading the text as well.

    ``names`` are those of installed observers, ``on_event`` is the caller's own handler. Use it as a context that
    training runs in. Entering starts the observers, and raises ObserverError for one that can't be used: nothing is
    lost then. From there on nothing that they do ends training.
    """

    def __init__(self, names: Iterable[str], on_event: events.EventHandler | None) -> None:
        self._names = [*dict.fromkeys(names)]
        self._on_event = on_event
        self._processes: list[ObserverProcess] = []
        self._step, self._started, self._ended = 0, False, False

    def __enter__(self) -> Self:
        for name in self._names:
            find_observer(name)
        try:
            for name in self._names:  # one by one: if the second can't be started, the first is ended
                self._processes.append(ObserverProcess(name))
            for process in self._processes:
                self._wait_ready(process)
        except BaseException:
            self._kill("it was no longer needed")
            raise
        return self

    def __call__(self, event: events.Event) -> None:
        """Hands an event to the observers and to the caller's handler, and reports what the observers say."""
        self._send(event)
        if self._on_event is not None:
            self._on_event(event)
        if self._processes:
            self._report()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if not self._processes:
            return
        if not self._started:  # what was asked for could not be trained, so there is nothing to record
            self._kill("there was nothing to observe")
            return
        seconds = FINISH_SECONDS
        if error is not None:
            self._on_event = None  # it may be what failed
            seconds = FINISH_SECONDS if isinstance(error, Exception) else INTERRUPTED_SECONDS
        if not self._ended:
            message = "" if error is None else describe_error(error)
            self._send(events.Ended(self._step, "failed", message))
        for process in self._processes:
            process.close()
        try:
            self._wait_ended(seconds)
        except KeyboardInterrupt:
            # The run is saved, and all that is given up is what they had still to write.
            self._kill("it was stopped before it had written everything")
        self._report()

    def _send(self, event: events.Event) -> None:
        self._step = getattr(event, "step", self._step)
        self._started = self._started or isinstance(event, events.Started)
        if not self._started:  # the text is being read, and there may be no run in the end
            return
        self._ended = self._ended or isinstance(event, events.Ended)
        for process in self._processes:
            process.send(event)

    def _wait_ready(self, process: ObserverProcess) -> None:
        if not process.wait_ready(PATIENCE_SECONDS):
            self._tell(events.ObserverMessage(process.name, "waiting for it to load its library"))
        if not process.wait_ready(START_SECONDS):
            raise ObserverError(
                f"observer {process.name!r} was not ready after {START_SECONDS:g} s; leave it out of `track`"
            )
        if process.failure is not None:
            named = process.failure.startswith("observer ")
            raise ObserverError(process.failure if named else f"observer {process.name!r}: {process.failure}")

    def _wait_ended(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for process in self._processes:
            if not process.wait_ended(min(seconds, PATIENCE_SECONDS)):
                self._tell(
                    events.ObserverMessage(
                        process.name, "waiting for it to finish writing; press Ctrl-C to stop waiting"
                    )
                )
            if not process.wait_ended(max(0.0, until - time.monotonic())):
                process.stop(f"it did not finish within {seconds:g} s of the end of training")

    def _kill(self, reason: str) -> None:
        for process in self._processes:
            process.stop(reason)

    def _report(self) -> None:
        """Reports what the observers have said, and those that have failed, which get no more events."""
        for process in self._processes:
            for note in process.take_notes():
                self._tell(events.ObserverMessage(process.name, note))
            if process.failure is not None:
                self._tell(events.ObserverMessage(process.name, process.failure, dropped=True))
        self._processes = [process for process in self._processes if process.failure is None]

    def _tell(self, message: events.ObserverMessage) -> None:
        if self._on_event is not None:
            self._on_event(message)
        elif message.dropped:
            _log.warning("%s", message.line())
        else:
            _log.info("observer %r: %s", message.observer, message.message)


def chosen_names(track: str | Iterable[str]) -> list[str]:
    """The names in ``track``. Raises ConfigurationError for what is no name."""
    if not isinstance(track, Iterable):
        raise ConfigurationError(f"`track` takes names of observers, such as 'csv'; given {shown(track)}")
    names = [track] if isinstance(track, str) else list(track)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"`track` takes names of observers, such as 'csv'; given {shown(name)}")
    return names
