"""The gradient of a block of shards, the same arithmetic in the driver's process and in a worker's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.charrnn import CharRNN
from charkit.distributed.shards import Gradients, TreeSum, row_slices


@dataclass(frozen=True, eq=False)
class BlockInput:
    """The rows of a training batch that a block has."""

    shards: int
    inputs: NDArray[np.int32]  # (row, time)
    targets: NDArray[np.int32]  # (row, time)
    state: State[Array]  # each (layer, row, unit)
    masks: NDArray[np.bool_] | None  # (layer, row, time, unit)


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a block's shards gave: the sum of their gradients, each of the mean loss of its shard."""

    gradients: Gradients
    nats: Array  # (row, time)
    state: State[Array]  # each (layer, row, unit)


def block_gradients(model: CharRNN, block: BlockInput) -> BlockResult:
    """Computes the shards one after the other with the model's weights. Changes nothing of the model."""
    total, nats, hidden, cell = TreeSum(), [], [], []
    for rows in row_slices(len(block.inputs), block.shards):
        gradients, shard_nats, state = model.gradients(
            block.inputs[rows],
            block.targets[rows],
            state=State(
                np.ascontiguousarray(block.state.hidden[:, rows]),
                np.ascontiguousarray(block.state.cell[:, rows]),
            ),
            masks=None if block.masks is None else np.ascontiguousarray(block.masks[:, rows]),
        )
        total.add(gradients)
        nats.append(shard_nats)
        hidden.append(state.hidden)
        cell.append(state.cell)
    after = State(np.concatenate(hidden, axis=1), np.concatenate(cell, axis=1))
    return BlockResult(total.result(), np.concatenate(nats), after)


def block_input(
    block_rows: slice,
    shards: int,
    batch: tuple[NDArray[np.int32], NDArray[np.int32]],
    state: State[Array],
    masks: NDArray[np.bool_] | None,
) -> BlockInput:
    """A block's rows of a whole batch ``(batch, time)``, its state and its masks."""
    return BlockInput(
        shards,
        batch[0][block_rows],
        batch[1][block_rows],
        State(state.hidden[:, block_rows], state.cell[:, block_rows]),
        None if masks is None else masks[:, block_rows],
    )
