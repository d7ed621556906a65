"""The process of one observer, as the process that trains sees it: started, given events, and waited for at the end.

Two threads speak with it, so that the thread that trains never waits. What it does to itself, such as hanging, printing
without end, or ending, is one line of text.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress

from charkit import events
from charkit.observers.event_lines import to_line
from charkit.plugins.failures import printable_line
from charkit.system.pipes import readable
from charkit.system.processes import kill_group, own_group
from charkit.system.signals import signal_name

#: Events that may wait for an observer that is slow. It is dropped when there are more.
MOST_WAITING = 10_000
#: Seconds between two progress events of one kind.
PROGRESS_SECONDS = 0.2
_PROGRESS = (events.Reading, events.Validating, events.Advanced)
#: How much of its standard error is kept: the end of it.
_KEPT_BYTES = 1 << 12
#: Bytes of one line of an answer; an observer that writes there itself must not fill the memory.
_MOST_ANSWER_BYTES = 1 << 16


class ObserverProcess:
    """An observer at work. ``failure`` says why it gets no more events; None as long as it does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: deque[events.Event] = deque()
        self._changed = threading.Condition()
        self._notes: list[str] = []
        self._failure: str | None = None
        self._ready = self._done = self._closing = False
        self._sent_at: dict[type, float] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "charkit.observers.worker", name, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **own_group(),  # Ctrl-C is for training alone
        )
        for target in (self._write, self._listen):
            threading.Thread(target=target, name=f"charkit-observer-{name}", daemon=True).start()

    # ---- called by the thread that trains -----------------------------------------------------------------

    def wait_ready(self, seconds: float) -> bool:
        """Waits until it has loaded, or failed; returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ready or self._failure is not None, seconds)

    def send(self, event: events.Event) -> None:
        """Hands an event over, unless it reports progress and comes soon after another one that does."""
        now = time.monotonic()
        if isinstance(event, _PROGRESS):
            if now - self._sent_at.get(type(event), -PROGRESS_SECONDS) < PROGRESS_SECONDS:
                return
            self._sent_at[type(event)] = now
        with self._changed:
            if self._failure is not None or self._closing:
                return
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(event)
                self._changed.notify_all()
                return
        self.stop(f"it is too slow: {MOST_WAITING:,} events were waiting for it")

    def take_notes(self) -> list[str]:
        """What the observer had to say since the last call."""
        if not self._notes:  # nearly always, and without the lock
            return []
        with self._changed:
            notes, self._notes = self._notes, []
            return notes

    @property
    def failure(self) -> str | None:
        """Why it gets no more events; None as long as it does."""
        return self._failure

    def close(self) -> None:
        """There are no more events: it writes what it has, and ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def wait_ended(self, seconds: float) -> bool:
        """Waits until it has ended, and returns whether it has."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            with self._changed:  # what it said last
                self._changed.wait_for(lambda: self._done or self._failure is not None, seconds)
            return True
        return False

    def stop(self, reason: str) -> None:
        """Ends it at once, with the processes that it has started, and says why."""
        self._fail(reason)
        kill_group(self._process)
        self._process.wait()

    # ---- threads ------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Writes the events, one after the other; waits as long as the observer does not read."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, and the other thread says how
            while (event := self._next()) is not None:
                self._process.stdin.write(to_line(event))
                self._process.stdin.flush()
        with suppress(OSError):
            self._process.stdin.close()

    def _next(self) -> events.Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing or self._failure is not None)
            if self._failure is not None or not self._waiting:
                return None
            return self._waiting.popleft()

    def _listen(self) -> None:
        """Reads its answers, and keeps the end of what it prints, until it has ended."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        answers, printed = self._process.stdout, self._process.stderr
        kept = {answers.fileno(): b"", printed.fileno(): b""}
        still_open = list(kept)
        with answers, printed:
            while still_open:
                ready = readable(still_open, 0.5)
                for handle in ready:
                    chunk = os.read(handle, _MOST_ANSWER_BYTES)
                    if not chunk:
                        still_open.remove(handle)
                    elif handle == answers.fileno():
                        *lines, rest = (kept[handle] + chunk).split(b"\n")
                        kept[handle] = rest[-_MOST_ANSWER_BYTES:]
                        for line in lines:
                            self._take_answer(line)
                    else:
                        kept[handle] = (kept[handle] + chunk)[-_KEPT_BYTES:]
                if not ready and self._process.poll() is not None:
                    break  # a process that it left behind holds the pipes open
            last = kept[printed.fileno()]
        self._note_end(self._process.wait(), last)

    def _take_answer(self, line: bytes) -> None:
        try:
            answer = json.loads(line)
            ((kind, value),) = answer.items()
        except (ValueError, AttributeError):
            return  # the observer wrote there itself
        with self._changed:
            if kind == "ready":
                self._ready = True
            elif kind == "note":
                self._notes.append(printable_line(str(value)))
            elif kind == "done":
                self._done = True
            self._changed.notify_all()
        if kind == "failed":
            self._fail(printable_line(str(value)))

    def _note_end(self, status: int, printed: bytes) -> None:
        if self._done and status == 0:
            return
        how = f"was killed by signal {signal_name(-status)}" if status < 0 else f"ended with status {status}"
        lines = printed.decode("utf-8", "replace").strip().splitlines()
        said = f": {printable_line(lines[-1]):.200}" if lines else ""
        self._fail(f"its process {how}{said}")

    def _fail(self, reason: str) -> None:
        """Notes the first reason, after which it gets no events."""
        with self._changed:
            if self._failure is None:
                self._failure = reason
            self._waiting.clear()
            self._changed.notify_all()
