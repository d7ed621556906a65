"""Two calls, in two threads, of which one begins within the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from charkit.backend import Backend
from charkit.plugins.supervision import kept_process

ResultT = TypeVar("ResultT")

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


def results_beside_another_call(
    backend: Backend[Any], function: Callable[..., ResultT], *arguments: Any
) -> dict[str, ResultT]:
    """What a function returns within a compiled call, while another thread's call goes on and after that has ended.

    A framework that traces what it compiles calls the function then. The other call begins after this one.
    """
    began, may_end, results = threading.Event(), threading.Event(), dict[str, ResultT]()

    def inner(argument: Any) -> Any:
        began.set()
        may_end.wait()
        return argument

    def call_inner() -> None:
        with kept_process():
            backend.compile(inner)(backend.tensor(np.zeros(1)))

    other = threading.Thread(target=call_inner)

    def outer(*inside: Any) -> ResultT:
        other.start()
        try:
            began.wait(_OVERLAP_SECONDS)
            results["while another call is running"] = function(*inside)
        finally:
            may_end.set()
        other.join(_OVERLAP_SECONDS)
        results["after another call has ended"] = last = function(*inside)
        return last

    backend.compile(outer)(*arguments)
    other.join()
    return results
