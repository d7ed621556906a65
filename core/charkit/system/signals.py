"""The signals that charkit knows, of which not every system has each, and how to postpone Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

#: A terminal that goes away; None on Windows.
HANGUP: int | None = getattr(signal, "SIGHUP", None)
#: Ctrl-Break, and what Windows sends when a console is closed; None elsewhere.
BREAK: int | None = getattr(signal, "SIGBREAK", None)
#: The status of a process that was killed is minus this number; Windows has no such status.
KILL: int = getattr(signal, "SIGKILL", 9)
#: A reader that has gone; the number is POSIX's where the system has none.
BROKEN_PIPE: int = getattr(signal, "SIGPIPE", 13)


def signal_name(number: int) -> str:
    """The number with its name, such as ``11 (SIGSEGV)``; the number alone for one without a name."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def postponing_ctrl_c(call: Callable[[], Result]) -> Result:
    """Returns what the call returns. Ctrl-C during the call takes effect after it; a second one, as soon as Python
    handles signals.

    A signal is handled on the main thread only, so a call on another thread is never interrupted. If Python doesn't
    handle Ctrl-C, as where it ends or is ignored by the process, this changes nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return call()
    waiting = False

    def wait(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting:
            waiting = False
            signal.signal(signal.SIGINT, handler)
            handler(number, frame)  # for the first Ctrl-C, in case the handler returns
            handler(number, frame)
        else:
            waiting = True

    signal.signal(signal.SIGINT, wait)
    try:
        return call()
    finally:
        if signal.getsignal(signal.SIGINT) is wait:  # the call has set no other
            signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(signal.SIGINT, None)
