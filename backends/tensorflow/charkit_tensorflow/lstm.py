"""The stacked LSTM: the batch in two halves, each layer over all time steps with a gradient of its own.

Inside, arrays are time-major, and the four gates lie side by side, ``(batch, 4*unit)``, in the canonical
order i, f, g, o. A sigmoid is ``0.5 * tanh(0.5 z) + 0.5``; the inner 0.5 is multiplied into the prepared
weights, which is exact, so one tanh over all four gates serves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from charkit.backend import State, Weights
from charkit.config import ModelConfig
from charkit_tensorflow.framework import tf
from charkit_tensorflow.recurrence import backward_in_time, forward_in_time, product

#: What the pre-activation of each gate is multiplied with: half for the sigmoids.
_HALVES = (0.5, 0.5, 1.0, 0.5)
#: Up to this many symbols the gradient of layer 0's weights is a product with a one-hot matrix.
_ONE_HOT_LIMIT = 512
#: Below this many sequences a half takes as long as the whole, whose time then goes into reading weights.
_LEAST_TO_SPLIT = 8


@dataclass(frozen=True)
class TensorFlowLstm:
    """``(weights, symbols, state, masks) -> features, state``; features: ``(time, batch, unit)`` per half.

    The two halves of the batch don't depend on each other, so TensorFlow works on both at once, each on a
    thread of its own. They are the same whatever the number of threads: the split is part of the numbers.
    ``operands`` is the type of the products' operands; ``halves`` is whether to split.
    """

    model: ModelConfig
    operands: tf.DType
    halves: bool

    def __call__(
        self,
        weights: Weights[tf.Tensor],
        symbols: tf.Tensor,
        state: State[tf.Tensor],
        masks: tf.Tensor | None,
    ) -> tuple[tuple[tf.Tensor, ...], State[tf.Tensor]]:
        features, hiddens, cells = [], [], []
        for part in self._parts(*symbols.shape):
            outputs, hidden, cell = self._run(
                weights,
                tf.transpose(symbols[part]),
                State(state.hidden[:, part], state.cell[:, part]),
                None if masks is None else tf.transpose(masks[:, part], (0, 2, 1, 3)),
            )
            features.append(outputs)
            hiddens.append(hidden)
            cells.append(cell)
        return tuple(features), State(tf.concat(hiddens, axis=1), tf.concat(cells, axis=1))

    def _parts(self, batch: int, time: int) -> tuple[slice, ...]:
        """The halves of the batch; all of a small one, or of a single step, over before a thread has begun."""
        if not self.halves or batch < _LEAST_TO_SPLIT or time == 1:
            return (slice(None),)
        middle = (batch + 1) // 2
        return slice(0, middle), slice(middle, None)

    def _run(
        self,
        weights: Weights[tf.Tensor],
        inputs: tf.Tensor,
        state: State[tf.Tensor],
        masks: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """All layers, from symbols ``(time, batch)`` and masks ``(layer, time, batch, unit)``."""
        hiddens, cells = [], []
        scale = 1.0 / (1.0 - self.model.dropout)
        for layer in range(self.model.num_layers):
            kind = _Features() if layer else _Symbols(self.model.vocabulary_size)
            weight_ih, weight_hh, bias = (
                weights[f"lstm.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias")
            )
            run = _single_step if inputs.shape[0] == 1 else _layer
            inputs, hidden, cell = run(kind, self.operands)(
                weight_ih, weight_hh, bias, inputs, state.hidden[layer], state.cell[layer]
            )
            hiddens.append(hidden)
            cells.append(cell)
            if masks is not None:
                inputs *= tf.cast(masks[layer], inputs.dtype) * scale  # (time, batch, unit)
        return inputs, tf.stack(hiddens), tf.stack(cells)


class _Symbols:
    """Layer 0's inputs, symbols ``(time, batch)``: the product with a one-hot row is a row of the weights."""

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size

    def gates(self, symbols: tf.Tensor, weight: tf.Tensor, operands: tf.DType) -> tf.Tensor:
        """The columns of ``weight (4*unit, vocabulary)`` of a single step's symbols: ``(batch, 4*unit)``."""
        columns = tf.gather(weight, symbols[0], axis=1)
        return tf.transpose(tf.cast(tf.cast(columns, operands), weight.dtype))

    def project(self, symbols: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """The symbols' rows of ``weight (vocabulary, 4*unit)`` plus bias: ``(time, batch, 4*unit)``."""
        return tf.gather(tf.cast(weight, bias.dtype) + bias, symbols)

    def weight_gradient(self, deltas: tf.Tensor, symbols: tf.Tensor, operands: tf.DType) -> tf.Tensor:
        """The ``deltas (time*batch, 4*unit)`` added up by symbol: ``(4*unit, vocabulary)``."""
        symbols = tf.reshape(symbols, [-1])
        if self._vocabulary_size > _ONE_HOT_LIMIT:
            return tf.transpose(tf.math.unsorted_segment_sum(deltas, symbols, self._vocabulary_size))
        one_hot = tf.one_hot(symbols, self._vocabulary_size, dtype=operands)
        return product(deltas, one_hot, operands, transpose_a=True)

    def gradient(self, deltas: tf.Tensor, weight: tf.Tensor, operands: tf.DType) -> None:
        """There is none."""


class _Features:
    """The inputs of every other layer, ``(time, batch, input)``."""

    def gates(self, features: tf.Tensor, weight: tf.Tensor, operands: tf.DType) -> tf.Tensor:
        """The product of a single step's features with ``weight (4*unit, input)``: ``(batch, 4*unit)``."""
        return product(features[0], weight, operands, transpose_b=True)

    def project(self, features: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Their product with ``weight (input, 4*unit)`` plus bias: ``(time, batch, 4*unit)``."""
        projected = product(_rows(features), weight, weight.dtype) + bias
        return tf.reshape(projected, (*features.shape[:2], -1))

    def weight_gradient(self, deltas: tf.Tensor, features: tf.Tensor, operands: tf.DType) -> tf.Tensor:
        """The product of ``deltas (time*batch, 4*unit)`` with them: ``(4*unit, input)``."""
        return product(deltas, _rows(features), operands, transpose_a=True)

    def gradient(self, deltas: tf.Tensor, weight: tf.Tensor, operands: tf.DType) -> tf.Tensor:
        """From ``deltas (time*batch, 4*unit)`` and ``weight (4*unit, input)``: ``(time*batch, input)``."""
        return product(deltas, weight, operands)


def _layer(kind: _Symbols | _Features, operands: tf.DType) -> Callable[..., Any]:
    """One layer: ``(weight_ih, weight_hh, bias, inputs, hidden, cell) -> outputs, hidden, cell``.

    Outputs are ``(time, batch, unit)``. The gradient is written out, because TensorFlow's own keeps every
    intermediate array of every time step, and has a product for the weights at each of them.
    """

    def run(
        weight_ih: tf.Tensor,
        weight_hh: tf.Tensor,
        bias: tf.Tensor,
        inputs: tf.Tensor,
        hidden: tf.Tensor,
        cell: tf.Tensor,
    ) -> Any:
        halves = tf.constant(np.repeat(_HALVES, hidden.shape[-1]), bias.dtype)
        into_gates = tf.cast(tf.transpose(weight_ih) * halves, operands)
        recurrent = tf.cast(tf.transpose(weight_hh) * halves, operands)
        projected = kind.project(inputs, into_gates, bias * halves)
        outputs, after, trace = forward_in_time(projected, recurrent, State(hidden, cell))

        def gradient(of_outputs: tf.Tensor, of_hidden: tf.Tensor, of_cell: tf.Tensor) -> Any:
            deltas, before = backward_in_time(
                trace, tf.cast(weight_hh, operands), of_outputs, State(of_hidden, of_cell)
            )
            rows = _rows(deltas)
            earlier = _rows(tf.concat([hidden[None], outputs[:-1]], axis=0))
            of_inputs = kind.gradient(rows, weight_ih, operands)
            return (
                kind.weight_gradient(rows, inputs, operands),
                product(rows, earlier, operands, transpose_a=True),
                _sum_of_rows(rows),
                None if of_inputs is None else tf.reshape(of_inputs, inputs.shape),
                *before,
            )

        return (outputs, *after), gradient

    return tf.custom_gradient(run)  # type: ignore[no-any-return]


def _single_step(kind: _Symbols | _Features, operands: tf.DType) -> Callable[..., Any]:
    """The same for a single time step: no weights are prepared, and TensorFlow's own gradient serves."""

    def run(
        weight_ih: tf.Tensor,
        weight_hh: tf.Tensor,
        bias: tf.Tensor,
        inputs: tf.Tensor,
        hidden: tf.Tensor,
        cell: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        recurrent = product(hidden, weight_hh, operands, transpose_b=True)
        i, f, g, o = tf.split(kind.gates(inputs, weight_ih, operands) + recurrent + bias, 4, axis=1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        hidden = tf.sigmoid(o) * tf.tanh(cell)
        return hidden[None], hidden, cell

    return run


def _rows(array: tf.Tensor) -> tf.Tensor:
    """``(time, batch, x)`` as ``(time*batch, x)``."""
    return tf.reshape(array, (-1, array.shape[-1]))


def _sum_of_rows(rows: tf.Tensor) -> tf.Tensor:
    """``(row, x)`` added up to ``(x,)``, by a product, which is several times as fast as a sum."""
    return tf.reshape(tf.matmul(tf.ones((1, rows.shape[0]), rows.dtype), rows), [-1])
