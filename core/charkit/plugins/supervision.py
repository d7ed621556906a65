"""Supervises the loading of a plugin's code into this process, where it may print, take long, hang or crash.

Trying it in a process of its own first, as ``charkit.plugins.probe`` does, would avoid all of that, but double the
start of every command (seconds, with the larger frameworks). So it is loaded at once, under supervision.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from typing import IO, Any, NoReturn, TextIO, cast

from charkit.system.processes import own_group
from charkit.training.interrupts import stopping_at_once

#: Seconds until a first warning that loading takes long; each further one takes twice as long to come.
PATIENCE_SECONDS = 5.0
#: Whether this is a worker process of ``probe``, which supervises it from outside; nothing is logged there.
is_worker = False

#: The status of a process that a plugin's code forked off and that came out of it, and of one that the code ended
#: with status 0. EX_SOFTWARE of sysexits.h.
_FAILED_STATUS = 70
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_ADVICE = "to find out why, run toolkit backends, which tries each backend in its own process"
_log = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.RLock()  # two redirections at once would restore each other's


@contextmanager
def supervised(label: str, *, new: bool) -> Iterator[None]:
    """Supervises the loading of a plugin; ``label`` is as ``Plugin.label`` has it.

    What is printed on standard output goes to standard error, where it spoils no result. A long wait is logged, with
    the line that waits. Ctrl-C and termination stop at once. If the code is ``new`` to this process and ends it,
    standard error still gets a line that says so. Standard error that the code closes or replaces is put back, and a
    process that it forks off ends where it would leave the plugin's code.
    """
    with ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        stack.enter_context(kept_process())
        stack.enter_context(stdout_to_stderr())
        stack.enter_context(stopping_at_once())
        if not is_worker:
            stack.enter_context(_warnings_of_waits(label))
            if new:
                message = f"error: this process ended while {label} was loading; {_ADVICE}"
                stack.enter_context(crash_message(message))
        yield


@contextmanager
def training_process(backend: str, run: str) -> Iterator[Callable[[], None]]:
    """Keeps this process as ``kept_process`` does while a backend trains a run, and yields its check for each step.

    If the backend ends the process, standard error still gets a line that says so.
    """
    message = (
        f"error: this process ended while backend {backend!r} was training {run!r}; the run's last checkpoint is "
        "intact, and any backend can continue from it"
    )
    with crash_message(message), kept_process() as check:
        yield check


@contextmanager
def reading_process(backend: str, doing: str, run: str) -> Iterator[None]:
    """Keeps this process as ``kept_process`` does while a backend uses a run as it is; ``doing`` is "sampling", say.

    If the backend ends the process, standard error still gets a line that says so.
    """
    message = (
        f"error: this process ended while backend {backend!r} was {doing} {run!r}; the run is unchanged, and any "
        "backend can read it"
    )
    with crash_message(message), kept_process():
        yield


@contextmanager
def kept_process() -> Iterator[Callable[[], None]]:
    """Keeps this process as it is while a plugin's code runs inside; yields a function that checks it meanwhile.

    File descriptors 1 and 2 are put back where the code closed them, since the next file to be opened would become
    standard output or standard error. A process that the code forked off ends: it would do everything a second time.
    """
    parent, kept = os.getpid(), {}
    for number in (1, 2):
        with suppress(OSError):  # the caller closed it
            kept[number] = os.dup(number)

    def check() -> None:
        if os.getpid() != parent:
            os._exit(_FAILED_STATUS)  # without cleaning up, which is for the parent to do
        for number, copy in kept.items():
            try:
                os.fstat(number)
            except OSError:
                os.dup2(copy, number)

    stream = sys.stderr
    try:
        yield check
    finally:
        check()
        sys.stderr = stream if stream is None or not stream.closed else _new_stderr()
        for copy in kept.values():
            os.close(copy)


def _new_stderr() -> TextIO:
    return open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


class _Stderr:
    """What ``sys.stdout`` is meanwhile: standard error, but closing it does nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def close(self) -> None:
        """Does nothing."""


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Sends what Python prints, and what libraries write to file descriptor 1, to standard error."""
    with redirect_stdout(cast(IO[str], _Stderr())):
        if sys.__stdout__ is None or sys.__stderr__ is None:
            yield  # a process without standard output has none to spoil
            return
        with ExitStack() as stack:  # undoes all of it, even where something can't be flushed
            kept = os.dup(1)
            stack.callback(os.close, kept)
            _flush()
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
            stack.callback(_flush)
            yield


def _flush() -> None:
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()


@contextmanager
def _warnings_of_waits(label: str) -> Iterator[None]:
    loaded, loading_thread = threading.Event(), threading.get_ident()
    started = time.monotonic()

    def warn() -> None:
        patience = PATIENCE_SECONDS
        while not loaded.wait(patience):
            seconds = time.monotonic() - started
            where = _location_of(loading_thread)
            _log.warning(
                "%s is still loading after %.0f s, %s; press Ctrl-C to give up", label, seconds, where
            )
            patience *= 2

    warning_thread = threading.Thread(target=warn, daemon=True)
    warning_thread.start()
    try:
        yield
    finally:
        loaded.set()
        warning_thread.join()


def _location_of(thread: int) -> str:
    """The line outside of Python's library that a thread is at, as ``at FILE:LINE``."""
    frame = sys._current_frames().get(thread)
    while frame is not None and is_standard_library(frame.f_code.co_filename):
        frame = frame.f_back
    return "at an unknown line" if frame is None else f"at {frame.f_code.co_filename}:{frame.f_lineno}"


def is_standard_library(file: str) -> bool:
    """Whether a file belongs to Python itself: code often waits there, but on behalf of its caller."""
    inside = file.startswith(("<", _LIBRARY))
    return inside and not any(folder in file for folder in ("site-packages", "dist-packages"))


@contextmanager
def crash_message(message: str) -> Iterator[Callable[[str], None]]:
    """Has another process print the message on standard error if this one ends inside, however suddenly.

    Yields a function that changes the message, which is one line. Inside of another crash message the inner one holds
    until it is left, so that one line is printed and no more. If the code inside calls ``os._exit(0)``, the status is
    70, since 0 would mean success.
    """
    outer = _monitor.get()
    if outer is not None:
        before = outer.message
        outer.change(message)
        try:
            yield outer.change
        finally:
            outer.change(before)
        return
    monitor = _Monitor(message)
    token = _monitor.set(monitor)
    try:
        with _EXITS.failing():
            yield monitor.change
    finally:
        _monitor.reset(token)
        monitor.end()


class _Exits:
    """Replaces ``os._exit`` while any thread is inside ``failing``."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Meanwhile ``os._exit(0)`` ends this process with status 70, but forked processes as always."""
        with self._lock:
            if self._inside == 0:
                self._original = os._exit
                os._exit = _exit_of(os.getpid(), os._exit)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    os._exit = self._original


def _exit_of(process: int, original: Callable[[int], NoReturn]) -> Any:
    def _exit(status: int) -> NoReturn:
        original(_FAILED_STATUS if status == 0 and os.getpid() == process else status)

    return _exit


_EXITS = _Exits()


class _Monitor:
    """A process that prints a message when this one ends before ``end`` was called."""

    def __init__(self, message: str) -> None:
        self.message = message
        self._process = _start_monitor(message)

    def change(self, message: str) -> None:
        """Replaces the message."""
        self.message = message
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # the monitor was ended
                self._process.stdin.write(f"{message}\n".encode(errors="replace"))
                self._process.stdin.flush()

    def end(self) -> None:
        """Ends the process, which prints nothing."""
        if self._process is not None:
            self._process.communicate(f"{_DONE}\n".encode())


#: That of the crash message that surrounds the code that runs, on the same thread.
_monitor: ContextVar[_Monitor | None] = ContextVar("monitor", default=None)
_DONE = "done"


def _start_monitor(message: str) -> subprocess.Popen[bytes] | None:
    """A shell that prints the last message it was given if its input ends without ``_DONE``; None without a shell."""
    read = f'while read -r line; do [ "$line" = "{_DONE}" ] && exit; set -- "$line"; done'
    script = f'{read}; printf "%s\\n" "$1" >&2'
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", message],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            **own_group(),  # Ctrl-C on a terminal must not reach it
        )
    except OSError as error:
        _log.debug("if a plugin ends this process, no message can be printed: %s", error)
        return None
