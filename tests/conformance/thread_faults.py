"""Planted faults of the number of threads. Installed as plugins by the tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from charkit.backend import State, available_threads
from charkit.batch_halves import BY_SEQUENCE
from charkit_numpy.backend import NumpyBackend, _quiet
from charkit_numpy.threads import blas_limit


class Threads(NumpyBackend):
    """Uses and reports given numbers of threads, or the requested one."""

    uses: int | None = None
    reports: int | None = None

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=self.uses or threads)
        self.threads = self.reports or threads or self.threads


class IgnoresOne(Threads):
    name = "ignores-one"
    uses = 2


class IgnoresTwo(Threads):
    name = "ignores-two"
    uses = 1


class ReportsTwo(Threads):
    name = "reports-two"
    reports = 2


class ReportsOneUsesTwo(Threads):
    name = "reports-one-uses-two"
    uses, reports = 2, 1


class ReportsTwoUsesOne(Threads):
    name = "reports-two-uses-one"
    uses, reports = 1, 2


class IgnoresInEvaluation(NumpyBackend):
    """Uses the requested number of threads in training, and two in evaluation."""

    name = "ignores-in-evaluation"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._extra = ThreadPoolExecutor(1)

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def on_two_threads(*arguments: Any) -> Any:
            before, self._second = self._second, self._extra
            try:
                return compiled(*arguments)
            finally:
                self._second = before

        return on_two_threads if isinstance(function, BY_SEQUENCE) else compiled


class IgnoresOnShards(NumpyBackend):
    """Uses the requested number of threads, except for batches that are not divided."""

    name = "ignores-on-shards"

    def _whole(self, call: Any) -> Any:
        with blas_limit.at(2, self._pools):
            return call()


class IgnoresInEvaluationOfSome(NumpyBackend):
    """Uses the requested number of threads, except for batches that one thread evaluates."""

    name = "ignores-in-evaluation-of-some"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def with_two_threads_in_blas(*arguments: Any) -> Any:
            with blas_limit.at(2, self._pools):  # which holds for those within it, too
                return compiled(*arguments)

        return with_two_threads_in_blas if isinstance(function, BY_SEQUENCE) else compiled


class IgnoresInEvaluationOfFew(NumpyBackend):
    """Uses the requested number of threads, except for the evaluation of so few sequences that they aren't divided."""

    name = "ignores-in-evaluation-of-few"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        blas_limit.set(2, self._pools)


class ForgetsItsChoice(NumpyBackend):
    """Uses one thread if none are requested, and reports the number of processors."""

    name = "forgets-its-choice"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads or 1)
        self.threads = threads or available_threads()


class ForgetsTheUsersLimit(NumpyBackend):
    """Uses as many threads as a user's variable allows if none are requested, and reports the number of processors."""

    name = "forgets-the-users-limit"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        limit = int(os.environ.get("OPENBLAS_NUM_THREADS", available_threads()))
        super().__init__(precision=precision, device=device, threads=threads or limit)
        self.threads = threads or available_threads()


class ThreadsOfTheFirst(NumpyBackend):
    """Uses the number of threads of the first backend in the process, and reports the requested one."""

    name = "threads-of-the-first"
    _first: ClassVar[list[int | None]] = []

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        self._first.append(threads)
        super().__init__(precision=precision, device=device, threads=self._first[0])
        self.threads = threads or self.threads


class AddsTwoParts(NumpyBackend):
    """Divides a batch between all of its threads, and adds up the gradients of two."""

    name = "adds-two-parts"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(weights: Any, symbols: Any, *rest: Any) -> Any:
            results = inner(weights, symbols, *rest)
            if self.threads <= 2:
                return results
            lost = len(symbols) * (self.threads - 2) // self.threads
            targets, state, _ = rest
            part = slice(0, lost)
            fewer = inner(
                weights, symbols[part], targets[part], State(state.hidden[:, part], state.cell[:, part]), None
            )
            share = lost / len(symbols)
            return ({name: results[0][name] - share * fewer[0][name] for name in results[0]}, *results[1:])

        return backward


class OneThread(Threads):
    """Correct: computes on one thread, whatever is requested, and reports it."""

    name = "one-thread"
    uses, reports = 1, 1


class TwoThreads(Threads):
    """Correct: computes on two threads, whatever is requested, and reports it."""

    name = "two-threads"
    uses, reports = 2, 2


class NewThreadInEachCall(NumpyBackend):
    """Correct: the second half of a batch has a new thread in each call, which is waited for."""

    name = "new-thread-in-each-call"

    def _in_parallel(self, calls: Any) -> list[Any]:
        if len(calls) == 1 or self.threads == 1:
            return super()._in_parallel(calls)
        with blas_limit.at(1, self._pools), ThreadPoolExecutor(1) as pool:
            later = pool.submit(_quiet, calls[1])
            return [calls[0](), later.result()]


class ReadsThreadNames(NumpyBackend):
    """Decodes the names of all threads of its process as UTF-8."""

    name = "reads-thread-names"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        for task in Path("/proc/self/task").glob("*/comm"):
            task.read_text("utf-8")


class TwiceTheThreads(NumpyBackend):
    """Uses four threads where two are requested and reported: each gradient is computed twice, side by side."""

    name = "twice-the-threads"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if self.threads > 1:
            self._second = ThreadPoolExecutor(2)
        self._repeated = ThreadPoolExecutor(1)

    def differentiate(self, forward: Any) -> Any:
        first, second = super().differentiate(forward), super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            if self.threads == 1:
                return first(*arguments)
            repeated = self._repeated.submit(second, *arguments)
            results = first(*arguments)
            repeated.result()
            return results

        return backward


class LeavesOneThread(NumpyBackend):
    """Limits the threads of BLAS in a training step, permanently."""

    name = "leaves-one-thread"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            results = inner(*arguments)
            self._pools.limit(limits=1, user_api="blas")
            return results

        return backward


class LeavesOneThreadAfterErrors(NumpyBackend):
    """Limits the threads of BLAS in a training step, permanently if it fails."""

    name = "leaves-one-thread-after-errors"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            try:
                return inner(*arguments)
            except ArithmeticError:
                self._pools.limit(limits=1, user_api="blas")
                raise

        return backward


class ReportsWithOneThread(NumpyBackend):
    """Limits the threads of BLAS in versions()."""

    name = "reports-with-one-thread"

    def versions(self) -> dict[str, str]:
        self._pools.limit(limits=1, user_api="blas")
        return super().versions()


class CapsThreads(NumpyBackend):
    """Uses at most as many threads as there are processors, and reports the requested number."""

    name = "caps-threads"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=min(threads or 1, available_threads()))
        self.threads = threads or 1
