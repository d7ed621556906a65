"""The threads of BLAS while a network computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from threadpoolctl import ThreadpoolController


@dataclass(frozen=True, eq=False)
class _Limit:
    """The limit of one network that computes, which is not the equal one of another."""

    threads: int


class _BlasLimit:
    """How many threads BLAS may use, for all networks of a process.

    Networks may compute at the same time, each on a thread of the user's own. The numbers that the process had before
    the first of them began come back when the last one has ended.
    """

    def __init__(self) -> None:
        #: By library: the user's number, and the one set in its place.
        self._replaced: dict[str, tuple[int, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets which networks compute. In a forked process, none does."""
        self._lock = threading.Lock()
        self._limits: list[_Limit] = []  # of those who compute
        self._before: dict[str, int] = {}  # by library, for when none computes

    @contextmanager
    def at(self, threads: int, libraries: ThreadpoolController) -> Iterator[None]:
        """Limits BLAS to so many threads; while others compute, to as many as they have."""
        loaded, limit = _blas(libraries), _Limit(threads)
        try:
            with self._lock:
                if not self._limits:
                    self._before = {library.filepath: library.num_threads for library in loaded}
                self._limits.append(limit)
                self._apply(loaded)
            yield
        finally:
            with self._lock:
                self._limits = [other for other in self._limits if other is not limit]
                self._apply(loaded)

    def set(self, threads: int, libraries: ThreadpoolController) -> None:
        """Sets the threads that BLAS has in this process whenever no network computes."""
        with self._lock:
            for library in _blas(libraries):
                self._replaced[library.filepath] = self._of_user(library), threads
                if self._limits:
                    self._before[library.filepath] = threads
                else:
                    _set_threads(library, threads)

    def of_user(self, libraries: ThreadpoolController) -> int | None:
        """How many threads BLAS would have if :meth:`set` had never set them; None without BLAS."""
        with self._lock:
            return max((self._of_user(library) for library in _blas(libraries)), default=None)

    def _of_user(self, library: Any) -> int:
        now: int = library.num_threads
        if self._limits:
            now = self._before.get(library.filepath, now)
        of_user, in_its_place = self._replaced.get(library.filepath, (now, now))
        return of_user if now == in_its_place else now

    def _apply(self, libraries: list[Any]) -> None:
        """Gives the libraries the threads of the first network that computes; or those that they had before."""
        for library in libraries:
            now = library.num_threads
            wanted = self._limits[0].threads if self._limits else self._before.get(library.filepath, now)
            if now != wanted:
                _set_threads(library, wanted)


def _blas(libraries: ThreadpoolController) -> list[Any]:
    return [library for library in libraries.lib_controllers if library.user_api == "blas"]


def _set_threads(library: Any, threads: int) -> None:
    """Sets a library's threads, and leaves it to any thread to set them next (threadpoolctl 3.8 and later)."""
    library.set_num_threads(threads)
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread()


blas_limit = _BlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=blas_limit.reset)
