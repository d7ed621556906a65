"""The time loops of one LSTM layer, forward and back: a loop of TensorFlow's over blocks of time steps.

The steps of a block are written out in the graph. More of them are a little faster and take longer to
trace; the stacked arrays of a block also let the backward loop do much of its work on all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from charkit.backend import State
from charkit_tensorflow.framework import tf

#: A block has the largest number of time steps up to this one that divides all of them.
_MOST_STEPS = 10


class Trace(NamedTuple):
    """What the forward loop leaves for the backward loop; each entry is a block of time steps."""

    gates: tf.TensorArray  # (step, batch, 4*unit), after their nonlinearities
    cells: tf.TensorArray  # (step, batch, unit), before the step
    tanh_cells: tf.TensorArray  # (step, batch, unit), after it


def forward_in_time(
    projected: tf.Tensor, recurrent: tf.Tensor, state: State[tf.Tensor]
) -> tuple[tf.Tensor, State[tf.Tensor], Trace]:
    """From the inputs' share of the gates ``(time, batch, 4*unit)`` to outputs ``(time, batch, unit)``.

    ``recurrent`` is ``(unit, 4*unit)``, in the type of the products' operands; both have the sigmoids' half
    multiplied in. Each array of the state is ``(batch, unit)``.
    """
    time, batch, width = projected.shape
    unit = width // 4
    blocks = _Blocks(time)
    scale = tf.constant(np.repeat((0.5, 0.5, 1.0, 0.5), unit), projected.dtype)
    shift = tf.constant(np.repeat((0.5, 0.5, 0.0, 0.5), unit), projected.dtype)

    def block(index: Any, hidden: tf.Tensor, cell: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        steps: list[tuple[tf.Tensor, ...]] = []
        for inputs in blocks.steps(projected, index):
            gates = tf.tanh(product(hidden, recurrent, recurrent.dtype) + inputs) * scale + shift
            i, f, g, o = tf.split(gates, 4, axis=1)
            before, cell = cell, f * cell + i * g
            tanh_cell = tf.tanh(cell)
            hidden = o * tanh_cell
            steps.append((hidden, gates, before, tanh_cell))
        stacked = (tf.stack(arrays) for arrays in zip(*steps, strict=True))
        return hidden, cell, *(to.write(index, entry) for to, entry in zip(arrays, stacked, strict=True))

    arrays = (blocks.array(projected.dtype, batch, size) for size in (unit, width, unit, unit))
    hidden, cell, outputs, *trace = blocks.loop(block, (*state, *arrays))
    return blocks.join(outputs), State(hidden, cell), Trace(*trace)


def backward_in_time(
    trace: Trace, recurrent: tf.Tensor, of_outputs: tf.Tensor, of_state: State[tf.Tensor]
) -> tuple[tf.Tensor, State[tf.Tensor]]:
    """From the gradients of outputs ``(time, batch, unit)`` and last state to those of the gates and the first.

    The gates' are those before their nonlinearities, ``(time, batch, 4*unit)``. ``recurrent`` is
    ``(4*unit, unit)``, in the type of the products' operands.
    """
    time, batch, unit = of_outputs.shape
    blocks = _Blocks(time)

    def block(count: Any, hidden: tf.Tensor, cell: tf.Tensor, deltas: tf.TensorArray) -> tuple[Any, ...]:
        index = blocks.count - 1 - count
        into_gates, into_cell, forget = _slopes(*(array.read(index) for array in trace))
        steps = (blocks.steps(of_outputs, index), *map(tf.unstack, (into_gates, into_cell, forget)))
        found: list[tf.Tensor] = []
        for of_output, to_gates, to_cell, kept in reversed(list(zip(*steps, strict=True))):
            hidden = hidden + of_output
            cell = cell + hidden * to_cell
            delta = tf.concat([cell, cell, cell, hidden], axis=1) * to_gates
            hidden = product(delta, recurrent, recurrent.dtype)
            cell = cell * kept
            found.append(delta)
        return hidden, cell, deltas.write(index, tf.stack(found[::-1]))

    array = blocks.array(of_outputs.dtype, batch, 4 * unit)
    hidden, cell, deltas = blocks.loop(block, (*of_state, array))
    return blocks.join(deltas), State(hidden, cell)


def _slopes(
    gates: tf.Tensor, cells: tf.Tensor, tanh_cells: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What gradients are multiplied with on the way back, for all steps of a block.

    That of the cell (for gates i, f, g) or hidden (for o) on its way to the gates, ``(step, batch, 4*unit)``;
    that of hidden on its way to the cell; that of the cell on its way to the step before.
    """
    i, f, g, o = tf.split(gates, 4, axis=2)
    into_gates = tf.concat(
        [g * i * (1 - i), cells * f * (1 - f), i * (1 - g * g), tanh_cells * o * (1 - o)], axis=2
    )
    return into_gates, o * (1 - tanh_cells * tanh_cells), f


def product(left: tf.Tensor, right: tf.Tensor, operands: tf.DType, **transposed: bool) -> tf.Tensor:
    """The matrix product of operands of that type, in the type of ``left``; ``transpose_a``, ``transpose_b``."""
    result = tf.matmul(tf.cast(left, operands), tf.cast(right, operands), **transposed)
    return tf.cast(result, left.dtype)


class _Blocks:
    """The blocks of equal length that a number of time steps is cut into."""

    def __init__(self, time: int) -> None:
        self._length = next(length for length in range(min(time, _MOST_STEPS), 0, -1) if time % length == 0)
        self.count = time // self._length

    def steps(self, array: tf.Tensor, index: Any) -> list[tf.Tensor]:
        """The time steps of one block of ``(time, batch, x)``, without a copy."""
        shape = (self.count, self._length, *array.shape[1:])
        return list(tf.unstack(tf.reshape(array, shape)[index]))

    def array(self, dtype: tf.DType, batch: int, size: int) -> tf.TensorArray:
        """An empty array of blocks ``(step, batch, size)``."""
        return tf.TensorArray(dtype, self.count, element_shape=(self._length, batch, size))

    def join(self, array: tf.TensorArray) -> tf.Tensor:
        """The blocks ``(step, batch, size)`` as one tensor ``(time, batch, size)``."""
        _, batch, size = array.element_shape
        return tf.reshape(array.stack(), (self.count * self._length, batch, size))

    def loop(self, block: Callable[..., tuple[Any, ...]], carried: tuple[Any, ...]) -> tuple[Any, ...]:
        """Calls ``block(count, *carried) -> carried`` for each block; a single one needs no loop."""
        if self.count == 1:
            return block(0, *carried)
        body = lambda count, *carried: (count + 1, *block(count, *carried))  # noqa: E731
        condition = lambda count, *_: count < self.count  # noqa: E731
        _, *after = tf.while_loop(condition, body, (0, *carried), parallel_iterations=1)
        return tuple(after)
