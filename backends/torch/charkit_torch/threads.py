"""Two threads that compute the halves of a batch.

Within an operation, PyTorch divides the work between its own threads, which wait for one another at the end of each:
several hundred times in a training step. The halves wait for each other once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from charkit.batch_halves import LastingThread
from charkit_torch.framework import torch


class HalfThreads:
    """The caller's thread and another, for halves that are computed beside each other.

    Each has half of PyTorch's threads meanwhile. With both halves on threads of their own, training at 2x128 was only
    two thirds as fast: glibc gives the memory of a thread other than the first back to the system after each step.
    """

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._second = LastingThread("charkit-torch", partial(torch.set_num_threads, threads // 2))
        self._default = LastingThread("charkit-torch-default")

    def results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of one call or of two, without gradients but where a call enables them."""
        if len(calls) == 1 or self._count == 1:
            return [call() for call in calls]
        with self._limited():
            later = self._second.submit(partial(_without_gradients, calls[1]))
            try:
                return [calls[0](), later.result()]
            finally:
                del later  # its exception has a traceback, which refers to this function's variables

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Limits PyTorch in the caller's thread.

        PyTorch gives the number that was set last, in whatever thread, to threads that have not used it yet. So another
        thread, which does nothing else, sets the number that there was.
        """
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(self._count // 2)
            self._default.submit(partial(torch.set_num_threads, before))
            yield
        finally:
            torch.set_num_threads(before)


def _without_gradients(call: Callable[[], Any]) -> Any:
    """The result of a call on another thread, which does not inherit that gradients are off."""
    with torch.no_grad():
        return call()
