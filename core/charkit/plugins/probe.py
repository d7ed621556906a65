"""Tries backends, each in a process of its own, so that one that hangs, prints or crashes does it there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from charkit.plugins.failures import printable_line
from charkit.plugins.plugin import Plugin
from charkit.plugins.supervision import is_standard_library
from charkit.system.pipes import readable
from charkit.system.processes import kill_group, own_group, side_channel
from charkit.system.signals import signal_name

LIMIT_SECONDS = 10.0
#: Seconds beyond the limit for a process to report where it hangs and to end by itself.
GRACE_SECONDS = 5.0
#: Seconds for a process to start on a busy machine, before the limit counts.
START_SECONDS = 60.0
#: How much of a process's output is kept: the end of it.
KEPT_BYTES = 1 << 16
#: A line of faulthandler's, innermost frame first.
_FRAME = re.compile(r'^  File "([^"]+)", line (\d+) in', re.MULTILINE)
#: What faulthandler writes before the stack of a process that it ends, with this status, at its time limit.
_TIMEOUT = re.compile(r"Timeout \([\d:.]+\)!\n")
_TIMEOUT_STATUS = 1


@dataclass(frozen=True)
class InstalledBackend:
    """An installed backend and the result of trying it. ``reason`` is empty if the backend is usable."""

    name: str
    status: str  # usable, framework missing, wrong version, broken, timed out, conflicting
    distribution: str
    version: str
    devices: list[str]
    precisions: list[str]
    capabilities: list[str]
    reason: str  # what is wrong, and what to do about it
    summary: str = ""  # how the plugin describes itself
    verified: str = ""  # what its author verified it with

    @property
    def usable(self) -> bool:
        """Whether the backend can be used on this machine."""
        return self.status == "usable"

    @property
    def explanation(self) -> str:
        """The reason, beginning with the backend's name."""
        return self.reason if self.reason.startswith("backend ") else f"backend {self.name!r}: {self.reason}"


def probe_all(
    plugins: Collection[Plugin],
    *,
    limit_seconds: float = LIMIT_SECONDS,
    progress: Callable[[float], None] | None = None,
) -> list[InstalledBackend]:
    """Tries each plugin's backend in a process of its own, several at a time.

    ``progress`` is called with the share that is done. An exception, such as KeyboardInterrupt, ends the processes.
    """
    stop = threading.Event()
    found: list[InstalledBackend] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        try:
            for backend in pool.map(
                lambda plugin: probe(plugin, limit_seconds=limit_seconds, stop=stop), plugins
            ):
                found.append(backend)
                if progress is not None:
                    progress(len(found) / len(plugins))
        except BaseException:
            stop.set()
            raise
    return found


def probe(
    plugin: Plugin, *, limit_seconds: float = LIMIT_SECONDS, stop: threading.Event | None = None
) -> InstalledBackend:
    """Tries one backend in a process of its own; one that crashes or answers nonsense is broken."""
    ended = _run_worker(plugin.name, limit_seconds, stop or threading.Event())
    answer = _read_answer(ended.answer) if ended.status == 0 else None
    known: dict[str, Any] = {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
    }
    if answer is not None:
        return InstalledBackend(**known, **answer)
    status, reason = describe_failure(ended, limit_seconds)
    return InstalledBackend(**known, status=status, devices=[], precisions=[], capabilities=[], reason=reason)


def _read_answer(text: str) -> dict[str, Any] | None:
    """What the worker process found; None where the plugin ended the process first, or wrote something there itself."""
    try:
        answer = json.loads(text)
        InstalledBackend(name="", distribution="", version="", **answer)
    except (ValueError, TypeError):
        return None
    return dict(answer)


class Ended(NamedTuple):
    """How a worker process ended (None: it had to be killed), its answer, the end of standard error, and its stack."""

    status: int | None
    answer: str
    errors: str
    stack: str


def describe_failure(ended: Ended, limit_seconds: float) -> tuple[str, str]:
    """The status of a backend whose worker process gave no answer, and why it gave none."""
    where = _innermost_frame(ended.stack)
    # The process's own word counts: on a busy machine, its clock and this one's may differ.
    timed_out = ended.status == _TIMEOUT_STATUS and _TIMEOUT.search(ended.stack)
    if ended.status is None or timed_out:
        place = f" (it was{where.removeprefix(',')})" if where else ""
        return (
            "timed out",
            f"did not respond within {limit_seconds:g} s{place}; a slow backend can still be used if you "
            "choose it by name",
        )
    if ended.status < 0:
        return "broken", f"its process was killed by signal {signal_name(-ended.status)} on import{where}"
    last = printable_line((ended.errors.strip().splitlines() or ["it printed nothing"])[-1])
    return "broken", f"its process ended with status {ended.status} on import: {last:.200}"


def _innermost_frame(stack: str) -> str:
    """Where faulthandler found the process, as `` at FILE:LINE``; of several threads the main one comes last."""
    frames = _FRAME.findall(stack.rpartition("(most recent call first):")[2])
    return next((f", at {file}:{line}" for file, line in frames if not is_standard_library(file)), "")


def _run_worker(name: str, limit_seconds: float, stop: threading.Event) -> Ended:
    """Runs a worker process. It and all that it started are dead afterwards, however it ended."""
    module = "charkit.plugins.probe_worker"
    with (
        side_channel() as stack,
        subprocess.Popen(
            [sys.executable, "-P", "-m", module, name, str(limit_seconds), stack.argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **stack.options,
            **own_group(),
        ) as process,
    ):
        stack.started()
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = _Deadline(limit_seconds)
        pipes = [pipe for pipe in (process.stdout, process.stderr, stack.pipe) if pipe is not None]
        output = _read(process, pipes, deadline, stop)
        try:
            status: int | None = process.wait(max(0.0, deadline.time - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            kill_group(process)
        if stack.pipe is None:
            output.append(stack.read_file()[-KEPT_BYTES:])
    return Ended(status, *(kept.decode("utf-8", "replace") for kept in output))


class _Deadline:
    """When a worker process has to have ended. Its limit counts from when it reports that it begins."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self.time = time.monotonic() + START_SECONDS

    def begin(self) -> None:
        """The worker process has started, and begins to import the plugin."""
        self.time = time.monotonic() + self._limit_seconds + GRACE_SECONDS


def _read(
    process: subprocess.Popen[bytes], pipes: list[IO[bytes]], deadline: _Deadline, stop: threading.Event
) -> list[bytes]:
    """The end of what each pipe brings, until all are closed, the process has ended, or time is up.

    The first bytes of the first pipe report that the worker begins. A process that the worker leaves behind may hold
    the pipes open; it is not waited for.
    """
    kept = {pipe.fileno(): b"" for pipe in pipes}
    still_open = list(kept)
    while still_open and time.monotonic() < deadline.time and not stop.is_set():
        ended = process.poll() is not None
        ready = readable(still_open, 0.1)
        for handle in ready:
            chunk = os.read(handle, KEPT_BYTES)
            if handle == pipes[0].fileno() and chunk and not kept[handle]:
                deadline.begin()
            kept[handle] = (kept[handle] + chunk)[-KEPT_BYTES:]
            if not chunk:
                still_open.remove(handle)
        if ended and not ready:
            break
    if stop.is_set():
        process.kill()
    return list(kept.values())
