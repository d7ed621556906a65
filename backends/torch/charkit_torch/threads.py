"""How many of PyTorch's threads a call uses, and two threads that compute the halves of a batch.

Within an operation, PyTorch divides the work between its own threads, which wait for one another at the end of each:
several hundred times in a training step. The halves wait for each other once, and small calls need no second thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from charkit.batch_halves import LastingThread
from charkit_torch.framework import torch

#: Sets the number of threads that the calling thread gets, and in no other.
_SetNumber = Callable[[int], Any]


def _setters() -> tuple[_SetNumber, _SetNumber] | None:
    """Those of OpenMP and of MKL, as PyTorch has loaded them; None where they can't be called.

    ``torch.set_num_threads`` would set the number of threads that have not used PyTorch yet as well.
    """
    library = ctypes.CDLL(torch._C.__file__)
    openmp = getattr(library, "omp_set_num_threads", None)
    if not torch.backends.mkl.is_available():
        return None if openmp is None else (openmp, lambda number: 0)
    mkl = getattr(library, "MKL_Set_Num_Threads_Local", None)  # returns the number before
    return None if openmp is None or mkl is None else (openmp, mkl)


_SETTERS = _setters()
#: Whether a thread's number can be lowered. Elsewhere, PyTorch divides every batch itself.
CAN_LIMIT = _SETTERS is not None


@contextmanager
def one_thread() -> Iterator[None]:
    """The calling thread's operations use no other thread within it."""
    before = (
        torch.get_num_threads()
    )  # at its first use in a thread, PyTorch would replace what was set before
    if _SETTERS is None or before == 1:
        yield
        return
    set_openmp, set_mkl = _SETTERS
    of_mkl = set_mkl(1)
    set_openmp(1)
    try:
        yield
    finally:
        set_openmp(before)
        set_mkl(of_mkl)


class HalfThreads:
    """The caller's thread and another, for halves that are computed beside each other, each on one thread of PyTorch's.

    With both halves on threads of their own, training at 2x128 was only two thirds as fast: glibc gives the memory of a
    thread other than the first back to the system after each step.
    """

    def __init__(self, threads: int) -> None:
        self._second = LastingThread("charkit-torch") if threads > 1 else None

    def results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of the calls, one or two, without gradients but where a call enables them."""
        with one_thread():
            if len(calls) == 1 or self._second is None:
                return [call() for call in calls]
            later = self._second.submit(partial(_on_second_thread, calls[1]))
            try:
                return [calls[0](), later.result()]
            finally:
                del later  # its exception has a traceback, which refers to this function's variables


def _on_second_thread(call: Callable[[], Any]) -> Any:
    """The result of a call there, which inherits neither the number of threads nor that gradients are off."""
    with one_thread(), torch.no_grad():
        return call()
