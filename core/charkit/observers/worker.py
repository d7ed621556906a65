"""The process of one observer: reads events from standard input and calls the observer's hook.

Run as ``python -P -m charkit.observers.worker NAME PROCESS`` by the process with that number, which trains. It answers
on standard output, in lines of JSON with one key: ``ready``, ``note`` (a line of the observer's for the user),
``failed`` (why it ends) or ``done``. What the observer itself prints goes to standard error. The process that trains
may end in any way: then its pipe ends, and so does this.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from importlib.metadata import EntryPoint
from queue import Queue
from typing import IO, Any

import pluggy

from charkit import events
from charkit.errors import ObserverError
from charkit.observers.discovery import failure, find_observer, load_observer
from charkit.observers.event_lines import from_line
from charkit.plugins.failures import printable_line
from charkit.system.processes import wait_for_end_of_parent

#: Seconds for an observer to end after the process that trains has ended.
GRACE_SECONDS = 60.0
#: The status of a process that did not end in that time.
_STUCK = 70
#: That of a process that an observer forked off, and that came out of its code.
_FORKED = 71
#: Events that are read ahead; the others wait in the process that trains, which counts them.
_MOST_WAITING = 100
#: Notes of an observer that are shown, and characters of each.
_MOST_NOTES, _MOST_CHARACTERS = 20, 500


class _Answers:
    """Writes the lines that the process that trains reads; if that has ended, they are discarded."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._notes = 0

    def write(self, **answer: Any) -> None:
        """Writes one answer."""
        with suppress(BrokenPipeError):
            print(json.dumps(answer), file=self._stream, flush=True)

    def note(self, text: Any) -> None:
        """Passes on what the observer returned, if that is a text."""
        self._notes += isinstance(text, str)
        if isinstance(text, str) and self._notes <= _MOST_NOTES:
            self.write(note=printable_line(text)[:_MOST_CHARACTERS])


def main() -> None:
    """Observes until ``Ended``, or until the process that trains has gone."""
    lines = os.fdopen(os.dup(0), "rb")
    answers = _Answers(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    _end_after(int(sys.argv[2]))
    try:
        entry = find_observer(sys.argv[1])
        manager = load_observer(entry)
        answers.write(ready=True)
        _observe(_received(lines), manager, entry, answers)
    except ObserverError as error:
        answers.write(failed=str(error))
        os._exit(1)  # it may have threads that wait for ever
    answers.write(done=True)


def _received(lines: IO[bytes]) -> Queue[bytes]:
    """The lines as they come, and an empty one at the end."""
    received: Queue[bytes] = Queue(_MOST_WAITING)

    def receive() -> None:
        try:
            for line in lines:
                received.put(line)
        finally:  # the observer may have closed the pipe
            received.put(b"")

    threading.Thread(target=receive, daemon=True).start()
    return received


def _end_after(trainer: int) -> None:
    """Ends this process some time after the training process has ended."""

    def watch() -> None:
        wait_for_end_of_parent(trainer)
        time.sleep(GRACE_SECONDS)
        os._exit(_STUCK)

    threading.Thread(target=watch, daemon=True).start()


def _observe(
    received: Queue[bytes], manager: pluggy.PluginManager, entry: EntryPoint, answers: _Answers
) -> None:
    """Calls the hook with each event. Raises ObserverError for whatever it raises."""
    step, ended, own = 0, False, os.getpid()
    while not ended:
        line = received.get()
        event: events.Event
        if not line.endswith(b"\n"):  # the training process has ended in the middle of a line
            event = events.Ended(step, "failed", "the training process has ended")
        else:
            event = from_line(line)
        step, ended = getattr(event, "step", step), isinstance(event, events.Ended)
        try:
            for note in manager.hook.charkit_event(event=event):
                answers.note(note)
        except BaseException as error:
            what = f"observer {entry.name!r} failed at {type(event).__name__}, step {step:,}"
            raise ObserverError(failure(what, error, entry)) from error
        finally:
            if os.getpid() != own:
                os._exit(_FORKED)  # a process that the observer forked off would wait for ever


if __name__ == "__main__":
    main()
