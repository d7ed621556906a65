"""Tries backends in child processes, for ``toolkit backends`` and for errors that name who has what."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, NamedTuple

from charkit.plugins import discovery
from charkit.plugins.supervision import is_of_python

LIMIT_SECONDS = 10.0
#: Seconds beyond the limit for a child to say where it hangs and to end by itself.
GRACE_SECONDS = 1.0
#: For a child to start on a busy machine, before the limit counts.
START_SECONDS = 60.0
#: What is kept of what a child says: the end.
KEPT_BYTES = 1 << 16
#: A line of faulthandler's, innermost frame first.
_FRAME = re.compile(r'^  File "([^"]+)", line (\d+) in', re.MULTILINE)


@dataclass(frozen=True)
class BackendRow:
    """What is known of one installed backend. ``reason`` says what is wrong and what to do, or is empty."""

    name: str
    status: str  # usable, framework missing, wrong version, broken, conflicting
    distribution: str
    version: str
    devices: list[str]
    precisions: list[str]
    capabilities: list[str]
    reason: str
    summary: str = ""  # what the plugin says of itself
    verified: str = ""  # what its author states that it was verified with


def probe_all(
    *,
    leave_out: str | None = None,
    limit_seconds: float = LIMIT_SECONDS,
    on_row: Callable[[int, int], None] | None = None,
) -> list[BackendRow]:
    """Tries every installed backend, each in a process of its own with its output captured.

    ``on_row`` is told how many of how many are done. An interruption ends the children too.
    """
    rows = [row for row in discovery.each_name() if row[0] != leave_out]
    stop = threading.Event()
    found: list[BackendRow] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        try:
            for row in pool.map(lambda row: probe(*row, limit_seconds=limit_seconds, stop=stop), rows):
                found.append(row)
                if on_row is not None:
                    on_row(len(found), len(rows))
        except BaseException:
            stop.set()
            raise
    return found


def probe(
    name: str, distribution: str, version: str, *, limit_seconds: float, stop: threading.Event | None = None
) -> BackendRow:
    """Tries one backend in a child process. A child that dies, hangs or babbles makes a broken row."""
    child = _try(name, limit_seconds, stop or threading.Event())
    place = _place(child.complaints)
    answer: dict[str, object] | None = None
    if child.status == 0:
        with suppress(ValueError):  # it ended well before it could answer, which is told below
            answer = json.loads(child.answer)
    if answer is not None:
        return BackendRow(name=name, distribution=distribution, version=version, **answer)  # type: ignore[arg-type]
    if child.status is None or child.seconds >= limit_seconds:  # it ends itself then
        reason = f"did not answer within {limit_seconds:g} s{place}; one that is only slow can be used all the same"
    elif child.status < 0:
        reason = f"its process was ended by signal {_signal(-child.status)} on import{place}"
    else:
        last = (child.complaints.strip().splitlines() or ["it said nothing"])[-1]
        reason = f"its process ended with status {child.status} on import: {last:.200}"
    return BackendRow(name, "broken", distribution, version, [], [], [], reason)


def _place(complaints: str) -> str:
    """Where the child was, if faulthandler has said so; of several threads the main one comes last."""
    frames = _FRAME.findall(complaints.rpartition("(most recent call first):")[2])
    return next((f", at {file}:{line}" for file, line in frames if not is_of_python(file)), "")


def _signal(number: int) -> str:
    known = number in signal.valid_signals() and number < signal.SIGRTMIN
    return f"{number} ({signal.Signals(number).name})" if known else str(number)


class _Child(NamedTuple):
    """How a child ended (None: it had to be killed), when, its answer, and the end of what else it said."""

    status: int | None
    seconds: float
    answer: str
    complaints: str


def _try(name: str, limit_seconds: float, stop: threading.Event) -> _Child:
    """Runs the child. It and what it started is dead afterwards, however it takes to its end."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "charkit.plugins.probe_worker", name, str(limit_seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        clock = _Clock(limit_seconds)
        said = _listen(child, [child.stdout, child.stderr], clock, stop)
        try:
            status: int | None = child.wait(max(0.0, clock.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(
                ProcessLookupError, PermissionError
            ):  # all of them have ended; macOS says the latter
                os.killpg(child.pid, signal.SIGKILL)
        seconds = time.monotonic() - clock.begun
    return _Child(status, seconds, *(kept.decode("utf-8", "replace") for kept in said))


class _Clock:
    """When the child has to have ended. The limit counts from when it says that it begins with the plugin."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self.begun = time.monotonic()
        self.deadline = self.begun + START_SECONDS

    def begin(self) -> None:
        """The child has begun."""
        self.begun = time.monotonic()
        self.deadline = self.begun + self._limit_seconds + GRACE_SECONDS


def _listen(
    child: subprocess.Popen[bytes], pipes: list[IO[bytes]], clock: _Clock, stop: threading.Event
) -> list[bytes]:
    """The end of what comes out of each pipe, until all are closed, the child has ended, or time is up.

    The first that comes out of the first pipe says that the child has begun. A process that the child leaves behind may
    hold the pipes open; it is not waited for.
    """
    kept = {pipe.fileno(): b"" for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for file in kept:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < clock.deadline and not stop.is_set():
            ended = child.poll() is not None
            ready = selector.select(timeout=0.1)
            for key, _ in ready:
                chunk = os.read(key.fd, KEPT_BYTES)
                if key.fd == pipes[0].fileno() and chunk and not kept[key.fd]:
                    clock.begin()
                kept[key.fd] = (kept[key.fd] + chunk)[-KEPT_BYTES:]
                if not chunk:
                    selector.unregister(key.fd)
            if ended and not ready:
                break
    if stop.is_set():
        child.kill()
    return list(kept.values())


def as_json(rows: list[BackendRow]) -> list[dict[str, object]]:
    """The rows as the JSON of ``toolkit backends --json`` has them."""
    return [asdict(row) for row in rows]
