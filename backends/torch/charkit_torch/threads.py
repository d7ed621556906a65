"""Two threads that compute the halves of a batch.

Within an operation, PyTorch divides the work between its own threads, which wait for one another at the end of each:
several hundred times in a training step. The halves wait for each other once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

from charkit.batch_halves import LastingThread
from charkit_torch.framework import torch


class HalfThreads:
    """The threads of a backend that computes halves beside each other, each with half of PyTorch's threads."""

    def __init__(self, threads: int) -> None:
        self._count = threads
        limit = partial(torch.set_num_threads, threads // 2)  # of the thread that calls it
        self._threads = [LastingThread("charkit-torch", limit) for _ in range(2)]

    def results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of one call or of two, without gradients but where a call enables them."""
        if len(calls) == 1 or self._count == 1:
            return [call() for call in calls]
        before = torch.get_num_threads()  # a limit is also that of any thread which PyTorch has yet to see
        futures = [
            thread.submit(partial(_without_gradients, call))
            for thread, call in zip(self._threads, calls, strict=True)
        ]
        try:
            wait(futures)
            return list(map(Future.result, futures))
        finally:
            del futures  # an exception has a traceback, which refers to this function's variables
            torch.set_num_threads(before)


def _without_gradients(call: Callable[[], Any]) -> Any:
    """The result of a call on another thread, which does not inherit that gradients are off."""
    with torch.no_grad():
        return call()
