"""Planted faults with side effects on the process, and with wrong reports about the device."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend


class LeavesAVariable(NumpyBackend):
    """Sets the number of threads in an environment variable, and leaves it there."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        _created.append(self)
        os.environ["CHARKIT_FAULTY_THREADS"] = str(len(_created))


class SilencesNumpy(NumpyBackend):
    """Turns off NumPy's warnings for the whole process, from the second backend on."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        _created.append(self)
        np.seterr(over="ignore" if len(_created) % 2 else "warn")


_created: list[NumpyBackend] = []


class CpuMemory(NumpyBackend):
    """Reports 0 bytes of device memory on a CPU."""

    def device_memory_bytes(self) -> int | None:
        return 0


class RecommendsAGpu(NumpyBackend):
    """Recommends a GPU on a machine without one."""

    def notices(self) -> tuple[str, ...]:
        return ("a GPU is available but not used; choose it with `device='cuda:0'`",)


class RecommendsAnother(NumpyBackend):
    """Recommends a second device of a kind of its own, where it declares one."""

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", "abacus:0"]

    def notices(self) -> tuple[str, ...]:
        return ("abacus:0 is slow; choose abacus:1",)


class SwallowsErrors(NumpyBackend):
    """Returns None if a function fails."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except RuntimeError:
                return None

        return run


class EveryErrorIsMemoryError(NumpyBackend):
    """Raises MemoryError for every error."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except RuntimeError as error:
                raise MemoryError(str(error)) from error

        return run


class SwallowsInterrupts(NumpyBackend):
    """Continues after Ctrl-C."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except KeyboardInterrupt:
                return None

        return run


class KeepsLockAfterError(NumpyBackend):
    """Holds a lock while it computes, and does not release it after an error."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        lock = self.__dict__.setdefault("_lock", Lock())

        def run(*arguments: Any) -> Any:
            lock.acquire()
            result = function(*arguments)
            lock.release()
            return result

        return run


#: What is wrong, the backend, and the check that finds it.
FAULTS = (
    ("an environment variable left behind", LeavesAVariable, ("creation_changes_no_settings",)),
    ("NumPy's warnings turned off globally", SilencesNumpy, ("creation_changes_no_settings",)),
    ("device memory reported for a CPU", CpuMemory, ("reports_match_the_device",)),
    ("a notice about an undeclared GPU", RecommendsAGpu, ("reports_match_the_device",)),
    (
        "a notice about an undeclared device of a declared kind",
        RecommendsAnother,
        ("reports_match_the_device",),
    ),
    ("errors that are swallowed", SwallowsErrors, ("errors_propagate",)),
    ("every error raised as MemoryError", EveryErrorIsMemoryError, ("errors_propagate",)),
    ("interrupts that are swallowed", SwallowsInterrupts, ("errors_propagate",), "compile()"),
    ("a lock that is not released after an error", KeepsLockAfterError, ("errors_propagate",), "lock"),
)
