"""Planted faults that show only in a process of their own, or on another device. Installed as plugins by the tests."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from charkit.backend import available_threads
from charkit.config import OptimizerConfig
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer


class Threads(NumpyBackend):
    """Uses and reports so many threads, or as many as were asked for."""

    uses: int | None = None
    reports: int | None = None

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=self.uses or threads)
        self.threads = self.reports or threads or self.threads


class IgnoringOne(Threads):
    name = "ignoring-one"
    uses = 2


class IgnoringTwo(Threads):
    name = "ignoring-two"
    uses = 1


class SayingTwo(Threads):
    name = "saying-two"
    reports = 2


class SayingOneUsingTwo(Threads):
    name = "saying-one-using-two"
    uses, reports = 2, 1


class SayingTwoUsingOne(Threads):
    name = "saying-two-using-one"
    uses, reports = 1, 2


class IgnoringInEvaluation(NumpyBackend):
    """Keeps to the number of threads in gradients, and gives evaluation as many as there are."""

    name = "ignoring-in-evaluation"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._pools.limit(limits=2, user_api="blas")


class OneThread(Threads):
    """Right: computes on one thread, whatever is asked, and reports it."""

    name = "one-thread"
    uses, reports = 1, 1


class TwoThreads(Threads):
    """Right: computes on two threads, whatever is asked, and reports it."""

    name = "two-threads"
    uses, reports = 2, 2


class DeletesSettings(NumpyBackend):
    """Removes a variable of its user's from the environment when its module is imported."""

    name = "deletes-settings"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        os.environ.pop("GOMP_SPINCOUNT", None)


class QuietLogger(NumpyBackend):
    """Silences the logger of another package, and leaves it so."""

    name = "quiet-logger"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        logging.getLogger("charkit.plugins.supervision").setLevel(logging.CRITICAL)


class AddsAFilter(NumpyBackend):
    """Ignores a warning of its own, for the whole process."""

    name = "adds-a-filter"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        warnings.filterwarnings("ignore", message="a kernel that is not deterministic")


class ReadsThreadNames(NumpyBackend):
    """Reads the names of the threads of its process as if all were text."""

    name = "reads-thread-names"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        for task in Path("/proc/self/task").glob("*/comm"):
            task.read_text("utf-8")


class EverythingIsMemory(NumpyBackend):
    """Takes every error of its framework's kind for memory that has run out."""

    name = "everything-is-memory"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (MemoryError, ArithmeticError) as error:
                raise MemoryError("out of memory") from ArithmeticError(str(error))

        return run


class HashOrder(NumpyBackend):
    """Adds the squares of the gradients in the order of a set of their names."""

    name = "hash-order"

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        inner = NumpyOptimizer(optimizer)

        def update(weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
            after, moments, _ = inner(weights, moments, gradients, rates)
            total = sum(float(np.vdot(gradients[name], gradients[name])) for name in set(gradients))
            return after, moments, np.asarray(sqrt(total))

        return update


class Dying(NumpyBackend):
    """Ends the process when it is asked for one thread."""

    name = "dying"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        if threads == 1:
            raise SystemExit("one thread is not enough")
        super().__init__(precision=precision, device=device, threads=threads)


class ClaimsCuda(NumpyBackend):
    """Declares a device that the machine does not have, and computes on the processor."""

    name = "claims-cuda"

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", "cuda:0"]


class ClaimsAccelerator(ClaimsCuda):
    """The same with a kind of device of which nothing is known but the memory that it does not report."""

    name = "claims-accelerator"

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", "npu:0"]


class StaysOnProcessor(ClaimsAccelerator):
    """Takes any device for the processor, and says so only in its attribute."""

    name = "stays-on-processor"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device="cpu", threads=threads)


class OtherNumbers(ClaimsAccelerator):
    """Rounds to half precision on the accelerator."""

    name = "other-numbers"

    def tensor(self, array: Any) -> Any:
        tensor = super().tensor(array)
        rounds = self.device != "cpu" and tensor.dtype.kind == "f"
        return tensor.astype(np.float16).astype(tensor.dtype) if rounds else tensor

    def device_memory_bytes(self) -> int | None:
        return None if self.device == "cpu" else 1 << 20


class RightAccelerator(OtherNumbers):
    """Right: a device of an unknown kind that computes the same numbers and reports its memory."""

    name = "right-accelerator"

    def tensor(self, array: Any) -> Any:
        return NumpyBackend.tensor(self, array)


class OwnMemoryError(NumpyBackend):
    """Lets a framework's own error for memory that runs out pass, as PyTorch's is one."""

    name = "ownmemoryerror"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MemoryError as error:
                raise RuntimeError(f"allocator: {error}") from error

        return run


class Changing(NumpyBackend):
    """Changes something of the process when it is made."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self.change()

    def change(self) -> None:
        """What the subclass changes."""


class SeedsNumpy(Changing):
    name = "seeds-numpy"

    def change(self) -> None:
        np.random.seed(0)


class SilencesErrors(Changing):
    name = "silences-errors"

    def change(self) -> None:
        np.seterr(all="ignore")


class SilencesWarnings(Changing):
    name = "silences-warnings"

    def change(self) -> None:
        warnings.simplefilter("ignore")


class SetsThreadsForAll(Changing):
    name = "sets-threads-for-all"

    def change(self) -> None:
        os.environ["OMP_NUM_THREADS"] = str(self.threads)


class AllThreadsInEachHalf(NumpyBackend):
    """Gives each half of a batch all of the threads."""

    name = "all-threads-in-each-half"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._blas_threads_each = self.threads


class LeavesOneThread(NumpyBackend):
    """Limits the threads of BLAS in a training step, and for good."""

    name = "leaves-one-thread"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            results = inner(*arguments)
            self._pools.limit(limits=1, user_api="blas")
            return results

        return backward


class ReportsWithOneThread(NumpyBackend):
    """Limits the threads of BLAS when it is asked for its versions."""

    name = "reports-with-one-thread"

    def versions(self) -> dict[str, str]:
        self._pools.limit(limits=1, user_api="blas")
        return super().versions()


class Prints(NumpyBackend):
    """Says something on standard output when its parts are built."""

    name = "prints"

    def build_loss(self, model: Any) -> Any:
        sys.stdout.write("a backend at your service\n")
        return super().build_loss(model)


class CapsThreads(NumpyBackend):
    """Uses no more threads than there are processors, and reports those that were asked for."""

    name = "caps-threads"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=min(threads or 1, available_threads()))
        self.threads = threads or 1


class IgnoresInterrupts(Changing):
    name = "ignores-interrupts"

    def change(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class LeavesFile(Changing):
    name = "leaves-file"

    def change(self) -> None:
        Path("kernels.cache").write_bytes(b"compiled")


class PinsProcess(Changing):
    name = "pins-process"

    def change(self) -> None:
        if self.threads == 1:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
