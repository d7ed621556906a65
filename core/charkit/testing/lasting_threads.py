"""Finds the threads that keep a process alive after its last line."""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from time import monotonic

from charkit.plugins.failures import is_inside

#: How long a thread may take to end that is about to.
_ENDING_SECONDS = 2.0
#: The same after large models, for which it may compile something.
_ENDING_SECONDS_OF_LARGE = 20.0


def lasting_threads(
    is_of_interest: Callable[[threading.Thread], bool] = lambda _: True,
    ending_seconds: float = _ENDING_SECONDS,
) -> list[threading.Thread]:
    """The threads that Python waits for when the process ends, unless they end soon.

    Threads of executors are left out, because Python ends them.
    """
    of_executors = getattr(concurrent.futures.thread, "_threads_queues", {})
    lasting = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon
        and thread not in (threading.main_thread(), threading.current_thread())
        and thread not in of_executors
        and is_of_interest(thread)
    ]
    deadline = monotonic() + ending_seconds
    for thread in lasting:
        thread.join(max(0.0, deadline - monotonic()))
    return [thread for thread in lasting if thread.is_alive()]


def names_of_threads_in(sources: Collection[Path]) -> list[str]:
    """The names of the lasting threads that are executing a function in these files and folders."""

    def is_in_sources(thread: threading.Thread) -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        while frame is not None:
            if is_inside(frame.f_code.co_filename, sources):
                return True
            frame = frame.f_back
        return False

    return [thread.name for thread in lasting_threads(is_in_sources, _ENDING_SECONDS_OF_LARGE)]
