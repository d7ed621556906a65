"""A call of CharRNN that runs out of memory changes nothing, wherever it happens."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.backend import Moments, Rates
from charkit.config import OptimizerConfig
from charkit.snapshot import Snapshot
from charkit.training.sharded_step import runner_in_process
from charkit.training.steps import TrainingStep
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer
from charrnn_support import assert_equal, batch, model


class FailingBackend(NumpyBackend):
    """Runs out of memory at one of the calls of a step."""

    fails_in = ""
    #: The calls of that place that still succeed.
    spared = 0

    def _fail_in(self, where: str) -> None:
        if self.fails_in == where:
            if not self.spared:
                raise MemoryError(where)
            self.spared -= 1

    def tensor(self, array: Any) -> Any:
        self._fail_in("tensor")
        return super().tensor(array)

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(*arguments: Any) -> Any:
            self._fail_in("forward")
            return inner(*arguments)

        return output

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            results = inner(*arguments)
            self._fail_in("backward")
            return results

        return backward

    def build_optimizer(self, optimizer: Any) -> Any:
        inner = super().build_optimizer(optimizer)

        def update(*arguments: Any) -> Any:
            self._fail_in("update")
            return inner(*arguments)

        return update


@pytest.mark.parametrize("where", ["tensor", "forward", "backward", "update"])
def test_a_step_that_runs_out_of_memory_changes_nothing(where: str) -> None:
    backend = FailingBackend(precision="float32", device="cpu", threads=1)
    network, sound = model(backend=backend, threads=None), model()
    for one in (network, sound):
        one.train_step(*batch(1))
    backend.fails_in = where
    with pytest.raises(MemoryError):
        network.train_step(*batch(2))
    backend.fails_in = ""
    assert_equal(network, sound)
    for one in (network, sound):
        one.train_step(*batch(3))
    assert_equal(network, sound)


def failing(batch_size: int = 3) -> tuple[charkit.CharRNN, FailingBackend]:
    """A network on a backend that can be made to fail, after one step."""
    backend = FailingBackend(precision="float32", device="cpu", threads=1)
    network = model(backend=backend, threads=None, batch_size=batch_size)
    network.train_step(*batch(1, (batch_size, 5)))
    return network, backend


def is_unchanged(network: charkit.CharRNN, before: Snapshot) -> bool:
    after = network.snapshot().arrays()
    return all(np.array_equal(array, after[name]) for name, array in before.arrays().items())


@pytest.mark.parametrize("method", ["restore", "load_weights", "load_moments", "load_state"])
def test_arrays_are_loaded_all_or_none(method: str) -> None:
    network, backend = failing()
    before, other = network.snapshot(), model(seed=3)
    other.train_step(*batch(2))
    other.train_step(*batch(3))
    calls = {
        "restore": lambda: network.restore(other.snapshot()),
        "load_weights": lambda: network.load_weights(other.weights()),
        "load_moments": lambda: network.load_moments(*other.moments(), step=7),
        "load_state": lambda: network.load_state(other.state()),
    }
    arrays = {"restore": 3 * 8 + 2, "load_weights": 3 * 8, "load_moments": 2 * 8, "load_state": 2}[method]
    for spared in range(arrays):
        backend.fails_in, backend.spared = "tensor", spared
        with pytest.raises(MemoryError):
            calls[method]()
        backend.fails_in = ""
        assert is_unchanged(network, before)
    backend.fails_in, backend.spared = "tensor", arrays
    calls[method]()
    assert not is_unchanged(network, before)


def test_a_sharded_step_that_runs_out_of_memory_changes_nothing() -> None:
    """Also where it runs out for the new state, which is copied in before the update."""
    network, backend = failing(batch_size=4)
    before, run = network.snapshot(), runner_in_process(2)
    step = TrainingStep(2, *batch(2, (4, 5)), None, 0.01)
    per_shard, update = 2 + 2, 8 + 2 + 3  # symbols and state; gradients, state and rates
    arrays = 2 * per_shard + update
    for spared in range(arrays):
        backend.fails_in, backend.spared = "tensor", spared
        with pytest.raises(MemoryError):
            run(network, step)
        backend.fails_in = ""
        assert is_unchanged(network, before)
    backend.fails_in, backend.spared = "tensor", arrays
    run(network, step)
    assert network.step == 2


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_update_on_numpy_allocates_before_it_writes(weight_decay: float) -> None:
    """So memory can't run out halfway: no round of it makes an array."""
    peaks = []

    class Measured(NumpyOptimizer):
        def _update(self, *arguments: Any) -> None:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            super()._update(*arguments)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)

    arrays = {
        name: np.ones(size, np.float32) for name, size in {"output.bias": 7, "output.weight": 40_000}.items()
    }
    moments = Moments(*({name: array.copy() for name, array in arrays.items()} for _ in range(2)))
    gradients = {name: array.copy() for name, array in arrays.items()}
    optimizer = Measured(OptimizerConfig(weight_decay=weight_decay))
    tracemalloc.start()
    try:
        optimizer(arrays, moments, gradients, Rates(*(np.asarray(0.5, np.float32) for _ in range(3))))
    finally:
        tracemalloc.stop()
    assert len(peaks) == 4
    assert max(peaks) < 8000
