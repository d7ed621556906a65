"""Keeps watch while a plugin's code is loaded into this process, where it may print, take long, hang or die.

Trying it in a child process first, as ``charkit.plugins.probe`` does, would show all of that beforehand, but double
the start of every command (seconds, with the larger frameworks). So it is loaded at once, and watched.
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

from charkit.training.interrupts import stopping_at_once

#: Seconds until it is first said that loading takes long; each further word takes twice as long to come.
PATIENCE_SECONDS = 5.0
#: True in a process that is watched from outside, as those of ``probe_worker`` are; nothing is logged there.
watched_from_outside = False

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_SEE = "toolkit backends tries it in a process of its own, and says how"
_log = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.RLock()  # who redirects second would restore the first one's redirection


@contextmanager
def supervised(what: str, *, new: bool) -> Iterator[None]:
    """Supervises the loading of ``what``, the start of a sentence such as "backend 'torch' (charkit-torch 1.0)".

    What is printed on standard output goes to standard error, where it spoils no result. A wait that is
    long is told there, with the place. Ctrl-C and termination stop at once. If the code is ``new`` to this
    process and ends it, standard error still gets a line that says who did.
    """
    with ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        stack.enter_context(clean_output())
        stack.enter_context(stopping_at_once())
        if not watched_from_outside:
            stack.enter_context(_telling_of_waits(what))
            if new:
                stack.enter_context(last_words(f"error: this process ended while {what} was loading; {_SEE}"))
        yield


@contextmanager
def clean_output() -> Iterator[None]:
    """Sends what Python prints, and what libraries write to file 1, to standard error."""
    with redirect_stdout(sys.stderr):
        if sys.__stdout__ is None or sys.__stderr__ is None:
            yield  # a process without them has none to spoil
            return
        with ExitStack() as stack:  # which undoes all, also where something can't be flushed
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
def _telling_of_waits(what: str) -> Iterator[None]:
    loaded, loader = threading.Event(), threading.get_ident()
    started = time.monotonic()

    def tell() -> None:
        patience = PATIENCE_SECONDS
        while not loaded.wait(patience):
            seconds = time.monotonic() - started
            _log.warning(
                "%s is still loading after %.0f s, %s; Ctrl-C gives up", what, seconds, _place(loader)
            )
            patience *= 2

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        loaded.set()
        teller.join()


def _place(thread: int) -> str:
    """Where a thread is, as ``at FILE:LINE``."""
    frame = sys._current_frames().get(thread)
    while frame is not None and is_of_python(frame.f_code.co_filename):
        frame = frame.f_back
    return "somewhere" if frame is None else f"at {frame.f_code.co_filename}:{frame.f_lineno}"


def is_of_python(file: str) -> bool:
    """Whether a file is of Python's own library, which is where code waits, but not whose code it is."""
    inside = file.startswith(("<", _LIBRARY))
    return inside and not any(folder in file for folder in ("site-packages", "dist-packages"))


@contextmanager
def last_words(words: str) -> Iterator[Callable[[str], None]]:
    """Has a small process say the words on standard error if this one ends inside, however suddenly.

    Gives a function that changes the words; they are one line.
    """
    witness = _witness(words)

    def change(words: str) -> None:
        if witness is not None and witness.stdin is not None:
            with suppress(BrokenPipeError):  # somebody ended it
                witness.stdin.write(f"{words}\n".encode(errors="replace"))
                witness.stdin.flush()

    try:
        yield change
    finally:
        if witness is not None:
            witness.communicate(f"{_ALL_IS_WELL}\n".encode())


_ALL_IS_WELL = "all is well"


def _witness(words: str) -> subprocess.Popen[bytes] | None:
    """A process that says the last words that it was given if its input ends before all is well.

    None where there is no shell.
    """
    hear = f'while read -r line; do [ "$line" = "{_ALL_IS_WELL}" ] && exit; set -- "$line"; done'
    script = f'{hear}; printf "%s\\n" "$1" >&2'
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C on a terminal must not reach it
        )
    except OSError as error:
        _log.debug("nobody would say so if loading ended the process: %s", error)
        return None
