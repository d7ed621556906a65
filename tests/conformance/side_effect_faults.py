"""Planted faults that touch the process around the backend, or that say of its device what is not so."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend


class LeavesAVariable(NumpyBackend):
    """Tells its framework the number of threads in a variable of the process, and leaves it there."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        _made.append(self)
        os.environ["CHARKIT_FAULTY_THREADS"] = str(len(_made))


class SilencesNumpy(NumpyBackend):
    """Turns off NumPy's warnings for whoever else uses it, from the second backend on."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        _made.append(self)
        np.seterr(over="ignore" if len(_made) % 2 else "warn")


_made: list[NumpyBackend] = []


class MemoryOfAProcessor(NumpyBackend):
    """Reports the device memory of a processor, as none used."""

    def device_memory_bytes(self) -> int | None:
        return 0


class RecommendsAGpu(NumpyBackend):
    """Recommends a GPU on a machine without one."""

    def notices(self) -> tuple[str, ...]:
        return ("a GPU is here and not used: `device='cuda:0'`",)


class SwallowsErrors(NumpyBackend):
    """Gives None where a function fails."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except RuntimeError:
                return None

        return run


class EveryErrorIsMemory(NumpyBackend):
    """Calls every error one of memory."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except RuntimeError as error:
                raise MemoryError(str(error)) from error

        return run


#: What is wrong, the backend, and the check that finds it.
FAULTS = (
    ("a variable that stays in the environment", LeavesAVariable, ("creation_changes_no_settings",)),
    ("warnings of NumPy turned off for everyone", SilencesNumpy, ("creation_changes_no_settings",)),
    ("device memory of a processor", MemoryOfAProcessor, ("reports_match_the_device",)),
    ("a notice on a GPU that is not there", RecommendsAGpu, ("reports_match_the_device",)),
    ("errors that are swallowed", SwallowsErrors, ("errors_propagate",)),
    ("every error as one of memory", EveryErrorIsMemory, ("errors_propagate",)),
)
