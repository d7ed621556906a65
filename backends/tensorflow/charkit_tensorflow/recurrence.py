"""The time loops of one LSTM layer, forward and back: a loop of TensorFlow's over blocks of time steps.

The steps of a block are written out in the graph. More of them are a little faster and take longer to
trace; the stacked arrays of a block also let the backward loop do much of its work on all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from charkit.backend import State
from charkit_tensorflow.framework import tf

#: A block has the largest number of time steps up to this one that divides all of them.
_MOST_STEPS = 5

#: From a block's index and the state to the state after it, and the arrays ``(step, batch, x)`` it leaves.
Block = Callable[[Any, tf.Tensor, tf.Tensor], tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]]


class Stored:
    """What the blocks left under one name: each ``(step, batch, x)``."""

    def __init__(self, blocks: tf.TensorArray | tf.Tensor, shape: tuple[int, int, int]) -> None:
        self._blocks, self._shape = blocks, shape

    def read(self, index: Any) -> tf.Tensor:
        """What one block left."""
        return self._blocks.read(index) if isinstance(self._blocks, tf.TensorArray) else self._blocks

    def whole(self) -> tf.Tensor:
        """What all left, ``(time, batch, x)``."""
        if isinstance(self._blocks, tf.TensorArray):
            return tf.reshape(self._blocks.stack(), self._shape)
        return self._blocks


class Trace(NamedTuple):
    """What the forward loop leaves for the backward loop."""

    gates: Stored  # 4*unit, after their nonlinearities
    cells: Stored  # unit, before the step
    tanh_cells: Stored  # unit, after it


def forward_in_time(
    projected: tf.Tensor, recurrent: tf.Tensor, state: State[tf.Tensor]
) -> tuple[tf.Tensor, State[tf.Tensor], Trace]:
    """From the inputs' share of the gates ``(time, batch, 4*unit)`` to outputs ``(time, batch, unit)``.

    ``recurrent`` is ``(unit, 4*unit)``, in the type of the products' operands; both have the sigmoids' half
    multiplied in. Each array of the state is ``(batch, unit)``.
    """
    width = projected.shape[-1]
    unit = width // 4
    blocks = _Blocks(*projected.shape[:2])
    scale = tf.constant(np.repeat((0.5, 0.5, 1.0, 0.5), unit), projected.dtype)
    shift = tf.constant(np.repeat((0.5, 0.5, 0.0, 0.5), unit), projected.dtype)

    def block(index: Any, hidden: tf.Tensor, cell: tf.Tensor) -> Any:
        left: list[tuple[tf.Tensor, ...]] = []
        for inputs in blocks.steps(projected, index):
            gates = tf.tanh(product(hidden, recurrent, recurrent.dtype) + inputs) * scale + shift
            i, f, g, o = tf.split(gates, 4, axis=1)
            before, cell = cell, f * cell + i * g
            tanh_cell = tf.tanh(cell)
            hidden = o * tanh_cell
            left.append((hidden, gates, before, tanh_cell))
        return (hidden, cell), tuple(tf.stack(arrays) for arrays in zip(*left, strict=True))

    after, (outputs, *trace) = blocks.loop(block, state, (unit, width, unit, unit))
    return outputs.whole(), after, Trace(*trace)


def backward_in_time(
    trace: Trace, recurrent: tf.Tensor, of_outputs: tf.Tensor, of_state: State[tf.Tensor]
) -> tuple[tf.Tensor, State[tf.Tensor]]:
    """From the gradients of outputs ``(time, batch, unit)`` and last state to those of gates and first state.

    The gates' are those before their nonlinearities, ``(time, batch, 4*unit)``. ``recurrent`` is
    ``(4*unit, unit)``, in the type of the products' operands.
    """
    blocks = _Blocks(*of_outputs.shape[:2])

    def block(index: Any, hidden: tf.Tensor, cell: tf.Tensor) -> Any:
        into_gates, into_cell, kept = _slopes(*(stored.read(index) for stored in trace))
        slopes = (tf.unstack(array) for array in (into_gates, into_cell, kept))
        left: list[tf.Tensor] = []
        for of_output, to_gates, to_cell, to_earlier in reversed(
            list(zip(blocks.steps(of_outputs, index), *slopes, strict=True))
        ):
            hidden = hidden + of_output
            cell = cell + hidden * to_cell
            delta = tf.concat([cell, cell, cell, hidden], axis=1) * to_gates
            hidden = product(delta, recurrent, recurrent.dtype)
            cell = cell * to_earlier
            left.append(delta)
        return (hidden, cell), (tf.stack(left[::-1]),)

    before, (deltas,) = blocks.loop(block, of_state, (recurrent.shape[0],), backwards=True)
    return deltas.whole(), before


def _slopes(
    gates: tf.Tensor, cells: tf.Tensor, tanh_cells: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The factors of the gradients in the backward pass, for all steps of a block.

    That of the cell (for the gates i, f, g) or of hidden (for o) into the gates, ``(step, batch, 4*unit)``;
    that of hidden into the cell; that of the cell into the cell before.
    """
    i, f, g, o = tf.split(gates, 4, axis=2)
    into_gates = (g * i * (1 - i), cells * f * (1 - f), i * (1 - g * g), tanh_cells * o * (1 - o))
    return tf.concat(into_gates, axis=2), o * (1 - tanh_cells * tanh_cells), f


def product(left: tf.Tensor, right: tf.Tensor, operands: tf.DType, **transposed: bool) -> tf.Tensor:
    """The matrix product of operands of that type, in the type of ``left``; ``transpose_a``, ``transpose_b``."""
    result = tf.matmul(tf.cast(left, operands), tf.cast(right, operands), **transposed)
    return tf.cast(result, left.dtype)


class _Blocks:
    """The blocks of equal length that the time steps of a batch are cut into."""

    def __init__(self, time: int, batch: int) -> None:
        self._length = next(length for length in range(min(time, _MOST_STEPS), 0, -1) if time % length == 0)
        self._count = time // self._length
        self._batch = batch

    def steps(self, array: tf.Tensor, index: Any) -> list[tf.Tensor]:
        """The time steps of one block of ``(time, batch, x)``, without a copy."""
        shape = (self._count, self._length, *array.shape[1:])
        return list(tf.unstack(tf.reshape(array, shape)[index]))

    def loop(
        self, block: Block, state: State[tf.Tensor], sizes: Sequence[int], *, backwards: bool = False
    ) -> tuple[State[tf.Tensor], list[Stored]]:
        """Calls ``block`` for each block in order; the state after all, and what they left, of these sizes."""
        shapes = [(self._count * self._length, self._batch, size) for size in sizes]
        if self._count == 1:
            after, left = block(0, *state)
            return State(*after), [Stored(array, shape) for array, shape in zip(left, shapes, strict=True)]

        def body(number: tf.Tensor, state: Any, arrays: list[tf.TensorArray]) -> Any:
            index = self._count - 1 - number if backwards else number
            after, left = block(index, *state)
            return (
                number + 1,
                after,
                [array.write(index, one) for array, one in zip(arrays, left, strict=True)],
            )

        empty = [
            tf.TensorArray(state.hidden.dtype, self._count, element_shape=(self._length, self._batch, size))
            for size in sizes
        ]
        _, after, arrays = tf.while_loop(
            lambda number, *_: number < self._count, body, (0, tuple(state), empty), parallel_iterations=1
        )
        return State(*after), [Stored(array, shape) for array, shape in zip(arrays, shapes, strict=True)]
