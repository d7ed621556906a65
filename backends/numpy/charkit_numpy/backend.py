"""The NumPy backend: capabilities, primitives, and the builders of the four parts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ClassVar, cast

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_info

from charkit.backend import Backend, Backward, Forward, FunctionT, State, Weights, float_dtype
from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.loss import NumpyLoss
from charkit_numpy.lstm import NumpyLstm
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.output import NumpyOutput
from charkit_numpy.tape import Array, Tape, recording


class NumpyBackend(Backend[Array]):
    """Hand-written back-propagation through time; half of the batch on each of two threads."""

    name: ClassVar[str] = "numpy"
    precisions: ClassVar[frozenset[str]] = frozenset({"float32", "float64"})
    capabilities: ClassVar[frozenset[str]] = frozenset({"weight_decay"})

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu"]

    def versions(self) -> dict[str, str]:
        blas = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), None)
        kernel = (
            f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}" if blas else "unknown"
        )
        return {"numpy": np.__version__, "blas": kernel.strip()}

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._dtype = float_dtype(precision)
        self._pools = ThreadpoolController()
        self._blas_threads_each = max(1, self.threads // 2)
        self._second = ThreadPoolExecutor(1, "charkit-numpy") if self.threads > 1 else None
        if threads is not None:
            self._pools.limit(limits=threads, user_api="blas")

    def build_lstm(self, model: ModelConfig) -> NumpyLstm:
        return NumpyLstm(model)

    def build_output(self, model: ModelConfig) -> NumpyOutput:
        return NumpyOutput(model)

    def build_loss(self, model: ModelConfig) -> NumpyLoss:
        return NumpyLoss()

    def build_optimizer(self, optimizer: OptimizerConfig) -> NumpyOptimizer:
        return NumpyOptimizer(optimizer)

    def tensor(self, array: Array) -> Array:
        array = np.asarray(array)
        dtype = self._dtype if array.dtype.kind == "f" else array.dtype
        return np.array(array, dtype=dtype, order="C")  # the optimizer updates flat views in place

    def numpy(self, tensor: Array) -> Array:
        return np.array(tensor)

    def differentiate(self, forward: Forward[Array]) -> Backward[Array]:
        """The gradient as the sum of two halves of the batch, each with a tape of its own.

        The halves are the same whatever the number of threads, and are added in the same order: one thread
        gives the numbers that two give. Beyond three, BLAS has several in each half, and rounds by itself.
        """
        tapes = (Tape(), Tape())

        def half(
            tape: Tape, share: float, weights: Weights[Array], *batch: Any
        ) -> tuple[Weights[Array], Array, State[Array]]:
            with quietly():  # another thread has an error state of its own
                with recording(tape):
                    nats, state = forward(weights, *batch)
                return tape.run_backward(share), nats, state

        def backward(
            weights: Weights[Array], symbols: Array, targets: Array, state: State[Array], masks: Array | None
        ) -> tuple[Weights[Array], Array, State[Array]]:
            parts = _halves(symbols, targets, state, masks)
            share = 1.0 / symbols.size
            with self._pools.limit(limits=self._blas_threads_each, user_api="blas"):
                if len(parts) > 1 and self._second is not None:
                    later = self._second.submit(half, tapes[1], share, weights, *parts[1])
                    results = [half(tapes[0], share, weights, *parts[0]), later.result()]
                else:
                    results = [
                        half(tape, share, weights, *part) for tape, part in zip(tapes, parts, strict=False)
                    ]
            return _joined(results)

        return backward

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """The function as it is, quietly."""

        @wraps(function)
        def quiet(*arguments: Any) -> Any:
            with quietly():
                return function(*arguments)

        return cast(FunctionT, quiet)


def quietly() -> AbstractContextManager[None]:
    """While inside, overflow is no warning: what isn't finite is returned, and the core stops with what to change."""
    return np.errstate(all="ignore")


def _halves(
    symbols: Array, targets: Array, state: State[Array], masks: Array | None
) -> list[tuple[Array, Array, State[Array], Array | None]]:
    """The batch in two parts along its batch axis; one part where the batch is a single sequence."""
    middle = (len(symbols) + 1) // 2
    slices: Sequence[slice] = (slice(0, middle), slice(middle, None))
    return [
        (
            symbols[part],
            targets[part],
            State(state.hidden[:, part], state.cell[:, part]),
            None if masks is None else masks[:, part],
        )
        for part in slices[: min(2, len(symbols))]
    ]


def _joined(
    results: list[tuple[Weights[Array], Array, State[Array]]],
) -> tuple[Weights[Array], Array, State[Array]]:
    if len(results) == 1:
        return results[0]
    (gradients, first_nats, first), (more, second_nats, second) = results
    for name, addend in more.items():
        np.add(gradients[name], addend, out=gradients[name])
    return (
        gradients,
        np.concatenate([first_nats, second_nats]),
        State(
            np.concatenate([first.hidden, second.hidden], axis=1),
            np.concatenate([first.cell, second.cell], axis=1),
        ),
    )
