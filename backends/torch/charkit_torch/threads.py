"""How many of PyTorch's threads a call uses, and two threads that compute the halves of a batch.

Within an operation, PyTorch divides the work between its own threads, which wait for one another at the end of each:
several hundred times in a training step. The halves wait for each other once, and small calls need no second thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from charkit.batch_halves import LastingThread
from charkit_torch.framework import torch

ResultT = TypeVar("ResultT")


class _Setters(NamedTuple):
    """Functions that set the number of threads for the calling thread, and for no other.

    ``torch.set_num_threads`` also sets the number for threads that have not used PyTorch yet. ``mkl`` returns the
    number that it replaces: 0 where MKL's number for the whole process applies.
    """

    openmp: Callable[[int], Any]
    mkl: Callable[[int], int]


def on_one_thread(call: Callable[[], ResultT]) -> ResultT:
    """The result of a call whose operations use no other thread.

    It is a function, since Ctrl-C can interrupt a context manager before its block has begun or after it has ended.
    """
    setters = _setters()
    if setters is None:
        return call()
    # Read first: at its first use in a thread, PyTorch replaces what was set before.
    before = torch.get_num_threads()
    of_mkl: list[int] = []
    try:
        of_mkl.extend(map(setters.mkl, (1,)))  # Ctrl-C can't come between the call and the list
        setters.openmp(1)
        return call()
    finally:
        try:
            setters.openmp(before)
        finally:
            for number in of_mkl:
                setters.mkl(number)


def can_limit() -> bool:
    """Whether ``on_one_thread`` limits a call. If not, PyTorch divides every batch itself."""
    return _setters() is not None


@cache
def _setters() -> _Setters | None:
    """The functions of the OpenMP and the MKL that PyTorch uses; None if they can't be called."""
    libraries = list(_libraries())
    mkl: Callable[[int], int] | None = None
    if torch.backends.mkl.is_available():
        functions = (getattr(library, "MKL_Set_Num_Threads_Local", None) for library in libraries)
        mkl = next((function for function in functions if function is not None), None)
        if mkl is None:
            return None
    for library in libraries:
        openmp = getattr(library, "omp_set_num_threads", None)
        if openmp is not None and _is_pytorchs(openmp):
            return _Setters(openmp, mkl or (lambda number: 0))
    return None


def _libraries() -> Iterator[ctypes.PyDLL]:
    """Where PyTorch's functions may be: its own libraries, what was loaded before them, and OpenMP on Windows."""
    names = (torch._C.__file__, None, str(Path(torch.__file__).parent / "lib" / "libiomp5md.dll"))
    for name in names:
        with suppress(OSError, TypeError):  # TypeError: on Windows, None names no library
            yield ctypes.PyDLL(name)


def _is_pytorchs(openmp: Callable[[int], Any]) -> bool:
    """Whether the function sets PyTorch's number: another OpenMP may have been loaded first (``LD_PRELOAD``)."""
    before = torch.get_num_threads()
    tried = before + 1
    try:
        openmp(tried)
        return torch.get_num_threads() == tried
    finally:
        openmp(before)


class HalfThreads:
    """The caller's thread and another, for halves that are computed beside each other, each on one thread of PyTorch's.

    With both halves on threads of their own, training at 2x128 was only two thirds as fast: glibc gives the memory of a
    thread other than the first back to the system after each step.
    """

    def __init__(self, threads: int) -> None:
        self._second = LastingThread("charkit-torch") if threads > 1 else None

    def results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of the calls, one or two, without gradients but where a call enables them."""
        return on_one_thread(partial(self._results, calls))

    def _results(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        if len(calls) == 1 or self._second is None:
            return [call() for call in calls]
        later = self._second.submit(partial(on_one_thread, partial(_without_gradients, calls[1])))
        try:
            return [calls[0](), later.result()]
        finally:
            del later  # its exception has a traceback, which refers to this function's variables


def _without_gradients(call: Callable[[], Any]) -> Any:
    """The result of a call on another thread, which does not inherit that gradients are off."""
    with torch.no_grad():
        return call()
