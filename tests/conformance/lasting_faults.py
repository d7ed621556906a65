"""Planted faults of what outlives a call or the program: threads and their settings. Installed by the tests."""

from __future__ import annotations

import atexit
import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from threadpoolctl import threadpool_limits

from charkit_numpy.backend import NumpyBackend


class WaitsForEver(NumpyBackend):
    """Starts a thread that waits for work, also when Python exits."""

    name = "waits-for-ever"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if _is_isolated():  # a thread like this would keep the tests alive
            threading.Thread(target=threading.Event().wait).start()


class EndsLate(NumpyBackend):
    """Waits when Python exits."""

    name = "ends-late"
    _waits: ClassVar[list[bool]] = []

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if _is_isolated() and not self._waits:
            self._waits.append(True)
            atexit.register(time.sleep, 20)


class WaitsForATime(NumpyBackend):
    """Starts a timer with the first network, which keeps the process alive until its time has come."""

    name = "waits-for-a-time"
    _timers: ClassVar[list[threading.Timer]] = []

    def build_lstm(self, model: Any) -> Any:
        if _is_isolated() and not self._timers:
            self._timers.append(threading.Timer(25.0, self._timers.clear))
            self._timers[0].start()
        return super().build_lstm(model)


class UsesAnExecutor(NumpyBackend):
    """Computes half of a batch in an executor, which Python shuts down when the main thread ends."""

    name = "uses-an-executor"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._second: Any = ThreadPoolExecutor(1)


class SwitchesOften(NumpyBackend):
    """Has Python change threads more often, as soon as it is imported."""

    name = "switches-often"

    @classmethod
    def devices(cls) -> list[str]:
        if _is_isolated():
            sys.setswitchinterval(0.0005)
        return super().devices()


class RestoresAfterErrors(NumpyBackend):
    """Changes a setting in the backward pass, and changes it back after an error, but not after Ctrl-C."""

    name = "restores-after-errors"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            interval = sys.getswitchinterval()
            sys.setswitchinterval(2 * interval)
            try:
                result = inner(*arguments)
            except Exception:
                sys.setswitchinterval(interval)
                raise
            sys.setswitchinterval(interval)
            return result

        return backward


class DeepThreads(NumpyBackend):
    """Gives all threads of the process more memory."""

    name = "deep-threads"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        threading.stack_size(1 << 24)


class FreezesObjects(NumpyBackend):
    """Excludes all objects from garbage collection, those of the user too."""

    name = "freezes-objects"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        gc.freeze()


class TakesAllThreads(NumpyBackend):
    """Overrides the user's number of threads if none is requested."""

    name = "takes-all-threads"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if threads is None:
            threadpool_limits(2, user_api="blas")


def _is_isolated() -> bool:
    """Whether this is one of the kit's own processes."""
    return "charkit.testing.isolated.worker" in sys.modules


class RestoresWhatItSawFirst(NumpyBackend):
    """Changes a setting during each call, and puts back what it was before the first one."""

    name = "restores-what-it-saw-first"
    _before: ClassVar[list[float]] = []

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            if not self._before:
                self._before.append(sys.getswitchinterval())
            sys.setswitchinterval(1e-4)
            try:
                return inner(*arguments)
            finally:
                sys.setswitchinterval(self._before[0])

        return backward
