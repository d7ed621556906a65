"""Two calls of which one begins within the other, on two backends in two threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit.plugins.supervision import kept_process

#: How long a call waits for the other: a backend may let one begin only when the other has ended.
_OVERLAP_SECONDS = 0.1


def call_overlapping(first: Backend[Any], second: Backend[Any]) -> None:
    """Calls a compiled function of each: the second call begins within the first, and ends after it.

    A backend that lets only one call in at a time ends the first before the second begins.
    """
    first_began, second_began, first_ended = threading.Event(), threading.Event(), threading.Event()

    def early(argument: Any) -> Any:
        first_began.set()
        second_began.wait(_OVERLAP_SECONDS)
        return argument

    def late(argument: Any) -> Any:
        second_began.set()
        first_ended.wait(_OVERLAP_SECONDS)
        return argument

    def call_early() -> None:
        try:
            with kept_process():
                first.compile(early)(first.tensor(np.zeros(1)))
        finally:
            first_ended.set()

    thread = threading.Thread(target=call_early)
    thread.start()
    first_began.wait(_OVERLAP_SECONDS)
    try:
        second.compile(late)(second.tensor(np.zeros(1)))
    finally:
        thread.join()
