"""Planted faults of what a call leaves behind that an exception or Ctrl-C ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock, current_thread, local
from typing import Any, ClassVar

import numpy as np

from charkit.batch_halves import LastingThread
from charkit.network import Advance, Predict
from charkit_numpy.backend import NumpyBackend, _quiet


class KeepsTheErrorInAVariable(NumpyBackend):
    """Raises an exception from a function with a variable that refers to it."""

    caught: ClassVar[type[BaseException]] = BaseException

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def guarded(*arguments: Any) -> Any:
            failure: BaseException
            try:
                return compiled(*arguments)
            except self.caught as error:
                failure = error
            raise failure

        return guarded


class KeepsAFrameworksErrorInAVariable(KeepsTheErrorInAVariable):
    """Does so only with what a framework raises."""

    caught = RuntimeError


class KeepsTheFuture(NumpyBackend):
    """Keeps the result of the second thread until the next call, and with it an exception."""

    _later: Any = None

    def _in_parallel(self, calls: Any) -> list[Any]:
        if len(calls) == 1 or self._second is None:
            return super()._in_parallel(calls)
        self._later = self._second.submit(partial(_quiet, calls[1]))
        return [calls[0](), self._later.result()]


class KeepsTheFutureOfLargeBatches(KeepsTheFuture):
    """Does so only with many sequences."""

    _is_large = False

    def differentiate(self, forward: Any) -> Any:
        backward = super().differentiate(forward)

        def noting(weights: Any, symbols: Any, *rest: Any) -> Any:
            self._is_large = len(symbols) >= 32
            return backward(weights, symbols, *rest)

        return noting

    def _in_parallel(self, calls: Any) -> list[Any]:
        return super()._in_parallel(calls) if self._is_large else NumpyBackend._in_parallel(self, calls)


class RecordsInTheCallersThread(NumpyBackend):
    """Keeps recording in the thread that made a call, after its part of it has failed."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._recorded = local()

    def differentiate(self, forward: Any) -> Any:
        caller = current_thread()

        def recording(*arguments: Any) -> Any:
            if current_thread() is not caller:
                return forward(*arguments)
            self._recorded.calls = list[Any]()
            result = forward(*arguments)
            del self._recorded.calls
            return result

        return super().differentiate(recording)

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(*arguments: Any) -> Any:
            if hasattr(self._recorded, "calls"):
                self._recorded.calls.append([arguments])
            return inner(*arguments)

        return lstm


class KeepsTheLockAfterAPrediction(NumpyBackend):
    """Takes a lock for predictions and states, and releases it only if they don't fail."""

    lock: ClassVar[Lock] = Lock()

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)
        if not isinstance(function, Predict | Advance):
            return compiled

        def locked(*arguments: Any) -> Any:
            self.lock.acquire()
            results = compiled(*arguments)
            self.lock.release()
            return results

        return locked


class _TwoMoreThreads(LastingThread):
    """Two threads beside the caller's: the next call does not wait for an interrupted one."""

    def submit(self, call: Any) -> Future[Any]:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(2)
        return self._executor.submit(call)


class DoesNotWaitForTheInterrupted(NumpyBackend):
    """Begins a call while a thread of an interrupted one still works with the same arrays."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if self._second is not None:
            self._second = _TwoMoreThreads("two more")


class CleansUpInFunctions(NumpyBackend):
    """Correct: a lock that functions take and release, which a `finally` clause and a `with` statement call."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._lock, self._held = Lock(), Lock()

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def locked(*arguments: Any) -> Any:
            try:
                with self:
                    return compiled(*arguments)
            finally:
                self._release()

        return locked

    def __enter__(self) -> None:
        self._held.acquire()

    def __exit__(self, *_: object) -> None:
        self._held.release()

    def _release(self) -> None:
        if self._lock.locked():
            self._lock.release()


class _OneHotInOnePlace:
    """One-hot symbols in an array that is kept, of which only what the last whole call wrote is cleared."""

    def __init__(self, inner: Any, model: Any) -> None:
        self._inner, self._size = inner, model.vocabulary_size
        self._kept: dict[tuple[int, ...], Any] = {}

    def __call__(self, weights: Any, symbols: Any, *rest: Any) -> Any:
        one_hot = self._kept.setdefault(symbols.shape, np.zeros((symbols.size, self._size), bool))
        one_hot[np.arange(symbols.size), symbols.ravel()] = True
        given = (
            (self._size - 1 - one_hot[:, ::-1].argmax(axis=1)).astype(symbols.dtype).reshape(symbols.shape)
        )
        results = self._inner(weights, given, *rest)
        one_hot[np.arange(symbols.size), symbols.ravel()] = False
        return results


class LeavesSymbolsBehind(NumpyBackend):
    """Reads the symbols of an interrupted call together with those of the next one."""

    def build_lstm(self, model: Any) -> Any:
        return _OneHotInOnePlace(super().build_lstm(model), model)


class _KeepsTheKeyBeforeTheValue:
    """Weights prepared once for each dictionary, which is recorded before they are."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._lock = inner, Lock()
        self._weights: Any = None
        self._prepared: Any = None

    def __call__(self, weights: Any, *rest: Any) -> Any:
        with self._lock:
            if self._weights is not weights:
                self._weights = weights
                self._prepared = {name: array.copy() for name, array in weights.items()}
        return self._inner(self._prepared, *rest)


class RemembersWhatItDidNotPrepare(NumpyBackend):
    """Uses the weights of the step before if the preparation of the latest ones was interrupted."""

    def build_lstm(self, model: Any) -> Any:
        return _KeepsTheKeyBeforeTheValue(super().build_lstm(model))


#: What is wrong, the backend, the checks that find it, and where the finding points.
FAULTS = (
    ("an exception in a variable", KeepsTheErrorInAVariable, ("errors_are_released",), "finally"),
    (
        "a framework's exception in a variable",
        KeepsAFrameworksErrorInAVariable,
        ("errors_are_released",),
        "finally",
    ),
    ("an exception kept in a Future", KeepsTheFuture, ("errors_are_released",), "a Future"),
    (
        "an exception of large batches kept in a Future",
        KeepsTheFutureOfLargeBatches,
        ("errors_are_released",),
        "a Future",
    ),
    (
        "a recording that goes on in the caller's thread after a failed step",
        RecordsInTheCallersThread,
        ("calls_leak_no_objects",),
        "not emptied",
    ),
    (
        "a lock that is not released after a failed prediction",
        KeepsTheLockAfterAPrediction,
        ("errors_propagate",),
        "lock",
    ),
    (
        "an interrupted call that goes on beside the next one",
        DoesNotWaitForTheInterrupted,
        ("gradients_while_an_interrupted_call_ends",),
    ),
    (
        "symbols left behind by an interrupted call",
        LeavesSymbolsBehind,
        ("calls_after_an_interruption",),
        "what the plugin keeps between calls",
    ),
    (
        "weights recorded as prepared before they are",
        RemembersWhatItDidNotPrepare,
        ("calls_after_an_interruption",),
        "replace what is kept",
    ),
)
