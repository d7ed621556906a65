"""The NumPy backend: capabilities, primitives, and the builders of the four parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_info

from charkit.backend import Backend, Backward, Forward, FunctionT, State, Weights, float_dtype
from charkit.batch_halves import BY_SEQUENCE, LastingThread, halves, joined
from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.fused import FusedLstm, FusedOptimizer
from charkit_numpy.loss import NumpyLoss
from charkit_numpy.lstm import NumpyLstm
from charkit_numpy.numba_support import SWITCH, numba_version
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.output import NumpyOutput
from charkit_numpy.tape import Array, Tape, recording
from charkit_numpy.threads import blas_limit

#: Below this many sequences a half takes as long as the whole, whose time then goes into reading weights.
_LEAST_TO_SPLIT = 8
#: Multiplications of a call, and of each of its time steps, from which two threads are faster than one, although they
#: hand the interpreter's lock to each other at every operation. Measured with 64 to 512 units and 8 to 512 sequences.
_LEAST_WORK, _LEAST_WORK_PER_STEP = 50e6, 10e6
_DIMENSIONS_OF_WEIGHTS = 2  # of those that are no biases
#: The folders that hold the libraries of NumPy's wheel, on Linux and Windows and on macOS.
_IN_WHEEL = {"numpy.libs", "numpy"}


class NumpyBackend(Backend[Array]):
    """Hand-written back-propagation through time; half of the batch on each of two threads, except for shards."""

    name: ClassVar[str] = "numpy"
    precisions: ClassVar[frozenset[str]] = frozenset({"float32", "float64"})
    capabilities: ClassVar[frozenset[str]] = frozenset({"weight_decay"})

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu"]

    def versions(self) -> dict[str, str]:
        blas = _blas_of_numpy()
        kernel = (
            f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}" if blas else "unknown"
        )
        compiled = {"numba": self._numba} if self._numba else {}
        return {"numpy": np.__version__, "blas": kernel.strip(), **compiled}

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._dtype = float_dtype(precision)
        #: The version of Numba, whose loops are compiled for float32 alone; None where it isn't used.
        self._numba = numba_version() if precision == "float32" else None
        self._pools = ThreadpoolController()
        if threads is None:
            self.threads = min(self.threads, blas_limit.of_user(self._pools) or self.threads)
        else:
            blas_limit.set(threads, self._pools)
        self._blas_threads_each = max(1, self.threads // 2)
        self._second = LastingThread("charkit-numpy") if self.threads > 1 else None

    def notices(self) -> tuple[str, ...]:
        if self._numba is None:
            return ()
        return (f"Numba {self._numba} compiles the time steps; set {SWITCH}=0 to train without it",)

    def build_lstm(self, model: ModelConfig) -> NumpyLstm:
        return FusedLstm(model) if self._numba else NumpyLstm(model)

    def build_output(self, model: ModelConfig) -> NumpyOutput:
        return NumpyOutput(model)

    def build_loss(self, model: ModelConfig) -> NumpyLoss:
        return NumpyLoss()

    def build_optimizer(self, optimizer: OptimizerConfig) -> NumpyOptimizer:
        return FusedOptimizer(optimizer) if self._numba else NumpyOptimizer(optimizer)

    def tensor(self, array: Array) -> Array:
        array = np.asarray(array)
        dtype = self._dtype if array.dtype.kind == "f" else array.dtype
        return np.array(array, dtype=dtype, order="C")  # the optimizer updates flat views in place

    def numpy(self, tensor: Array) -> Array:
        return np.array(tensor)

    def differentiate(self, forward: Forward[Array]) -> Backward[Array]:
        """The gradient as the sum of two halves of the batch, each with a tape of its own.

        The halves are the same whatever the number of threads, and are added in the same order: one thread
        gives the numbers that two give. Beyond three, BLAS has several in each half, and rounds by itself. A shard
        is computed whole, with all threads in BLAS.
        """
        tapes = (Tape(), Tape())

        def half(
            tape: Tape, share: float, weights: Weights[Array], *batch: Any
        ) -> tuple[Weights[Array], Array, State[Array]]:
            with recording(tape):
                nats, state = forward(weights, *batch)
            return tape.run_backward(share), nats, state

        def backward(
            weights: Weights[Array], symbols: Array, targets: Array, state: State[Array], masks: Array | None
        ) -> tuple[Weights[Array], Array, State[Array]]:
            batch = (symbols, targets, state, masks)
            parts = halves(*batch) if self.divides_batches else [batch]
            share = 1.0 / symbols.size
            calls = [
                partial(half, tape, share, weights, *part) for tape, part in zip(tapes, parts, strict=False)
            ]
            results = self._in_parallel(calls) if self.divides_batches else [self._whole(calls[0])]
            gradients, *rest = results[0]
            for more, *_ in results[1:]:
                for name, addend in more.items():
                    np.add(gradients[name], addend, out=gradients[name])
            nats, after = rest if len(results) == 1 else _joined([result[1:] for result in results])
            return gradients, nats, after

        return backward

    def _in_parallel(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of one call or of two, the second on a thread of its own if the backend has several."""
        with blas_limit.at(self._blas_threads_each, self._pools):
            if len(calls) > 1 and self._second is not None:
                later = self._second.submit(partial(_quiet, calls[1]))
                try:
                    return [calls[0](), later.result()]
                finally:
                    del later  # its exception has a traceback, which refers to this function's variables
            return [call() for call in calls]

    def _whole(self, call: Callable[[], Any]) -> Any:
        """The result of a call in which BLAS has all threads of the backend."""
        with blas_limit.at(self.threads, self._pools):
            return call()

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """The function as it is; in evaluation the halves of a batch are computed as in training."""
        if not isinstance(function, BY_SEQUENCE):
            return function
        call: Callable[..., Any] = function

        @wraps(function)
        def by_halves(*arguments: Any) -> Any:
            weights, *batch = arguments
            if len(batch[0]) < _LEAST_TO_SPLIT:
                return call(*arguments)
            if not _is_worth_two_threads(weights, batch[0]):
                with blas_limit.at(1, self._pools):
                    return call(*arguments)
            return _joined(self._in_parallel([partial(call, weights, *part) for part in halves(*batch)]))

        return cast(FunctionT, by_halves)


def _blas_of_numpy() -> dict[str, Any] | None:
    """The BLAS library that NumPy uses: the one in its wheel, if there is one. SciPy's wheel has another."""
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = [pool for pool in found if _IN_WHEEL & set(Path(pool["filepath"]).parts[-3:])]
    return next(iter(own or found), None)


def _is_worth_two_threads(weights: Weights[Array], symbols: Array) -> bool:
    """Whether the halves of a batch, symbols ``(batch, time)``, are evaluated faster beside each other than at once."""
    matrices = sum(array.size for array in weights.values() if array.ndim == _DIMENSIONS_OF_WEIGHTS)
    chosen = weights["lstm.0.weight_ih"].size  # of whose columns each symbol takes one
    work = len(symbols) * (matrices - chosen)
    return work >= _LEAST_WORK_PER_STEP and work * symbols.shape[1] >= _LEAST_WORK


def _quiet(call: Callable[[], Any]) -> Any:
    """The result of a call on another thread, which does not inherit how the core has NumPy treat overflow."""
    with np.errstate(all="ignore"):
        return call()


def _joined(results: Sequence[Any]) -> Any:
    """Both halves of a result. Logits have the axes ``(time, batch, vocabulary)``."""
    return joined(results, np.concatenate, batch_axis_of_logits=1)
