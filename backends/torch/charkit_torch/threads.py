"""Two threads that compute the halves of a batch.

Within an operation, PyTorch divides the work between its own threads, which wait for one another at the end of each:
several hundred times in a training step. The halves wait for each other once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from charkit.batch_halves import LastingThread
from charkit_torch.framework import torch


class HalfThreads:
    """The caller's thread and another, for halves that are computed beside each other, each on one thread of PyTorch's.

    With both halves on threads of their own, training at 2x128 was only two thirds as fast: glibc gives the memory of a
    thread other than the first back to the system after each step.
    """

    def __init__(self, threads: int) -> None:
        self._second = LastingThread("charkit-torch", _limit_for_good) if threads > 1 else None

    def results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of the calls, one or two, without gradients but where a call enables them."""
        with _limit.one_thread(self._second):
            if len(calls) == 1 or self._second is None:
                return [call() for call in calls]
            later = self._second.submit(partial(_without_gradients, calls[1]))
            try:
                return [calls[0](), later.result()]
            finally:
                del later  # its exception has a traceback, which refers to this function's variables


class _Limit:
    """Limits PyTorch to one thread within the thread of a caller, and in no other.

    PyTorch gives the number that was set last, in whatever thread, to threads that have not used it yet. So another
    thread, which does nothing else, sets the caller's number again. No caller reads its own number meanwhile.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets which thread has the lock. In a forked process, none has."""
        self._lock = threading.Lock()
        self._default = LastingThread("charkit-torch-default")

    @contextmanager
    def one_thread(self, second: LastingThread | None) -> Iterator[None]:
        """One thread for the caller within it. ``second`` begins meanwhile, which limits its own."""
        with self._lock:
            before = torch.get_num_threads()
        if second is None and before == 1:
            yield
            return
        try:
            self._lower(second, before)
            yield
        finally:
            with self._lock:
                torch.set_num_threads(before)

    def _lower(self, second: LastingThread | None, before: int) -> None:
        with self._lock:
            if second is not None:
                second.start()
            torch.set_num_threads(1)
            self._default.submit(partial(torch.set_num_threads, before)).result()


def _limit_for_good() -> None:
    """Limits PyTorch to one thread within this thread, from now on."""
    torch.get_num_threads()  # at its first use in a thread, PyTorch would replace a number that was set before
    torch.set_num_threads(1)


def _without_gradients(call: Callable[[], Any]) -> Any:
    """The result of a call on another thread, which does not inherit that gradients are off."""
    with torch.no_grad():
        return call()


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.reset)
