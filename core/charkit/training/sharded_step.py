"""A training step whose gradient is the mean of its shards': computed in this process, or by workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from charkit.backend import Array, State
from charkit.charrnn import CharRNN
from charkit.distributed.gradients import BlockInput, BlockResult, block_gradients, block_input
from charkit.distributed.pool import WorkerPool
from charkit.distributed.shards import Gradients, TreeSum, aligned_blocks
from charkit.network import StepResult
from charkit.training.steps import StepRunner, TrainingStep, run_step


class BlockComputer(Protocol):
    """What computes blocks with the model's weights."""

    #: The number of blocks that it computes side by side.
    workers: int

    def compute(self, model: CharRNN, blocks: Sequence[BlockInput]) -> list[BlockResult]:
        """The results of the blocks, in their order."""


class InProcess:
    """Computes every shard in this process, on the model's own backend."""

    workers = 1

    def compute(self, model: CharRNN, blocks: Sequence[BlockInput]) -> list[BlockResult]:
        """The results of the blocks, in their order."""
        backend = model.backend
        divides = backend.divides_batches
        backend.divides_batches = False
        try:
            return [block_gradients(model, block) for block in blocks]
        finally:
            backend.divides_batches = divides


class OnWorkers:
    """Computes blocks on the workers of a pool."""

    def __init__(self, pool: WorkerPool, workers: int) -> None:
        self._pool, self.workers = pool, workers

    def compute(self, model: CharRNN, blocks: Sequence[BlockInput]) -> list[BlockResult]:
        """The results of the blocks, in their order."""
        return self._pool.compute(model.step, model.weights(), blocks)


class ShardedSteps:
    """Runs training steps on a model, each of whose batches is cut into equal shards of rows.

    The numbers depend on the number of shards alone, not on what computes them. A step that fails changes nothing, with
    CharRNN's one exception: memory that runs out within the update itself.
    """

    def __init__(self, shards: int, computer: BlockComputer) -> None:
        self._shards, self._computer = shards, computer
        self._blocks = aligned_blocks(shards, computer.workers)

    def __call__(self, model: CharRNN, step: TrainingStep) -> StepResult:
        """Trains the model on one step."""
        batch, state = (step.inputs, step.targets), model.state()
        rows_each = len(step.inputs) // self._shards
        inputs = [
            block_input(block.rows(rows_each), block.count, batch, state, step.masks)
            for block in self._blocks
        ]
        results = self._computer.compute(model, inputs)
        gradients = _mean([result.gradients for result in results], self._shards)
        after = _joined([result.state for result in results])
        nats = np.concatenate([result.nats for result in results])
        norm = model.apply_gradients(gradients, learning_rate=step.learning_rate, state=after)
        return StepResult.of_numbers(model.step, nats, norm)


def runner_in_process(shards: int) -> StepRunner:
    """What runs steps in this process: whole, or in shards."""
    return run_step if shards == 1 else ShardedSteps(shards, InProcess())


def _mean(sums: list[Gradients], shards: int) -> Gradients:
    """The mean over the shards; dividing by a power of two is exact."""
    total = TreeSum()
    for gradients in sums:
        total.add(gradients)
    return {name: array / array.dtype.type(shards) for name, array in total.result().items()}


def _joined(states: list[State[Array]]) -> State[Array]:
    return State(
        np.concatenate([state.hidden for state in states], axis=1),
        np.concatenate([state.cell for state in states], axis=1),
    )
