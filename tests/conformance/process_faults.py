"""Planted faults that show only in an isolated process, or on another device. Installed as plugins by the tests."""

# Over 300 lines: a table, one small class for each planted fault.

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from math import sqrt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from charkit.config import OptimizerConfig
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer


class DeletesSettings(NumpyBackend):
    """Removes an environment variable of the user when it is created."""

    name = "deletes-settings"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        os.environ.pop("GOMP_SPINCOUNT", None)


class ForgetsVariables(NumpyBackend):
    """Sets an environment variable for a while, and removes it although the user had set it."""

    name = "forgets-variables"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        os.environ["ABACUS_NUM_BEADS"] = "7"
        super().__init__(precision=precision, device=device, threads=threads)
        del os.environ["ABACUS_NUM_BEADS"]


class RestoresVariables(NumpyBackend):
    """Correct: sets an environment variable for a while, and then restores what the user had set."""

    name = "restores-variables"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        before = os.environ.get("ABACUS_NUM_BEADS")
        os.environ["ABACUS_NUM_BEADS"] = "7"
        super().__init__(precision=precision, device=device, threads=threads)
        del os.environ["ABACUS_NUM_BEADS"]
        if before is not None:
            os.environ["ABACUS_NUM_BEADS"] = before


class QuietLogger(NumpyBackend):
    """Silences the logger of another package permanently."""

    name = "quiet-logger"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        logging.getLogger("charkit.plugins.supervision").setLevel(logging.CRITICAL)


class AddsAFilter(NumpyBackend):
    """Ignores one of its warnings in the whole process."""

    name = "adds-a-filter"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        warnings.filterwarnings("ignore", message="a kernel that is not deterministic")


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


class EndsTheProcess(NumpyBackend):
    """Ends the process if one thread is requested."""

    name = "ends-the-process"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        if threads == 1:
            raise SystemExit("one thread is not enough")
        super().__init__(precision=precision, device=device, threads=threads)


class ClaimsCuda(NumpyBackend):
    """Declares a device that the machine does not have, and computes on the CPU."""

    name = "claims-cuda"

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", "cuda:0"]


class ClaimsAccelerator(ClaimsCuda):
    """Like ClaimsCuda, with an unknown kind of device, and reports no memory."""

    name = "claims-accelerator"

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", "npu:0"]


class StaysOnCpu(ClaimsAccelerator):
    """Uses the CPU for any device, which only its attribute shows."""

    name = "stays-on-cpu"

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
    """Correct: a device of an unknown kind that computes the same numbers and reports its memory."""

    name = "right-accelerator"

    def tensor(self, array: Any) -> Any:
        return NumpyBackend.tensor(self, array)


class OnlyOtherNumbers(OtherNumbers):
    """Like OtherNumbers, with no other device."""

    name = "only-other-numbers"

    @classmethod
    def devices(cls) -> list[str]:
        return ["npu:0"]


class Simulated(NumpyBackend):
    """Correct: a simulated device alone, whose memory is in use once a step has run."""

    name = "simulated"
    used_bytes = 0

    @classmethod
    def devices(cls) -> list[str]:
        return ["sim:0"]

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def run(*arguments: Any) -> Any:
            self.used_bytes = 1 << 20 if function.__name__ == "train" else self.used_bytes
            return compiled(*arguments)

        return run

    def device_memory_bytes(self) -> int | None:
        return self.used_bytes


class SimulatesNothing(Simulated):
    """Uses no memory of the device, even in a step."""

    name = "simulates-nothing"

    def device_memory_bytes(self) -> int | None:
        return 0


class Changing(NumpyBackend):
    """Changes a process setting when it is created."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self.change()

    def change(self) -> None:
        """Changes the setting."""


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


class Prints(NumpyBackend):
    """Prints to standard output when its parts are built."""

    name = "prints"

    def build_loss(self, model: Any) -> Any:
        sys.stdout.write("a backend at your service\n")
        return super().build_loss(model)


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


class SpawnsProcesses(Changing):
    name = "spawns-processes"

    def change(self) -> None:
        multiprocessing.set_start_method("spawn", force=True)


class ReportsItsProcess(NumpyBackend):
    """Reports among the versions what is different in each process."""

    name = "reports-its-process"

    def versions(self) -> dict[str, str]:
        return super().versions() | {"process": str(os.getpid())}


class ReportsAnotherBlas(NumpyBackend):
    """Reports SciPy's BLAS among the versions if SciPy has been imported."""

    name = "reports-another-blas"

    def versions(self) -> dict[str, str]:
        return super().versions() | {"blas": "of SciPy" if "scipy.linalg" in sys.modules else "of NumPy"}


class CollectsAfterwards(NumpyBackend):
    """Stops the garbage collector during a step, and starts it afterwards even if the user had stopped it."""

    name = "collects-afterwards"

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            gc.disable()
            try:
                return inner(*arguments)
            finally:
                gc.enable()

        return backward


class ScaleBySize(NumpyBackend):
    """Keeps an array of ones by its size alone, for all networks, and multiplies the nats with it."""

    name = "scale-by-size"
    _ones: ClassVar[dict[int, Any]] = {}

    def build_loss(self, model: Any) -> Any:
        inner = super().build_loss(model)

        def loss(logits: Any, targets: Any) -> Any:
            ones = self._ones.setdefault(targets.shape[1], np.ones(targets.shape[1], logits.dtype))
            return inner(logits, targets) * ones

        return loss
