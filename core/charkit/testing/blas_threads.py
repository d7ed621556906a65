"""One thread for NumPy's matrix products while the oracle computes.

The threads that BLAS starts for them spin for a while after each product. They would take the processor from the
backend and from the kit's other processes: with two threads for its products, ``verify`` on PyTorch took 7.0 s instead
of 6.8 s (medians of 14, two Intel cores), and a second more of processor time.

The NumPy backend limits its products in its own way. The two share no code, since the one judges the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


class _OneThread:
    """The limit of all calls that compute at the same time, each perhaps in a thread of its own."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets which calls compute. In a forked process, none does."""
        self._lock = threading.Lock()
        self._calls = 0
        self._before: list[int] = []  # the threads of each library

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Limits BLAS to one thread. After the last of several calls, the numbers from before the first come back."""
        with self._lock:
            if not self._calls:
                self._before = [library.num_threads for library in _libraries()]
            self._calls += 1
        try:
            _set_threads([1] * len(self._before))
            yield
        finally:
            with self._lock:
                self._calls -= 1
                if not self._calls:
                    _set_threads(self._before)


one_blas_thread = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.reset)


@cache
def _libraries() -> list[Any]:
    """The libraries with matrix products that are loaded when this is first called, NumPy's among them."""
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def _set_threads(numbers: list[int]) -> None:
    """Sets the threads of each library, and leaves it to any thread to set them next (threadpoolctl 3.8 and later)."""
    for library, number in zip(_libraries(), numbers, strict=True):
        if library.num_threads != number:
            library.set_num_threads(number)
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread()
