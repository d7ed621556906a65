"""The stacked LSTM: a scan over time, with a gradient by hand.

Inside, arrays are time-major. A sigmoid is ``0.5 * tanh(0.5 z) + 0.5``; the inner 0.5 is multiplied into
the prepared weights, which is exact, so one tanh over all four gates serves. The gradient leaves all that
it can to products over the whole sequence, and works in the memory of the forward pass: new memory of this
size comes from the operating system page by page, at a third of a training step's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from charkit.backend import State, Weights
from charkit.config import ModelConfig
from charkit_jax.matrix_product import BY_COLUMNS, BY_ROWS, PLAIN, contract, product

Arrays = tuple[jax.Array, ...]
Pair = tuple[jax.Array, jax.Array]
#: Sequences below this length are short.
_SHORT = 16


@dataclass(frozen=True)
class JaxLstm:
    """``(weights, symbols, state, masks) -> features (time, batch, unit), state``.

    ``operands`` is the type of the products' operands. ``scatter`` says how layer 0 adds up its gradient
    by symbol: row by row (on a processor, four times as fast) or as a product with a one-hot matrix (on a
    GPU, where rows are added in no fixed order, and bits would change from run to run).
    """

    model: ModelConfig
    operands: np.dtype[Any]
    scatter: bool

    def __call__(
        self,
        weights: Weights[jax.Array],
        symbols: jax.Array,
        state: State[jax.Array],
        masks: jax.Array | None,
    ) -> tuple[jax.Array, State[jax.Array]]:
        if symbols.shape[1] == 1 and masks is None and self.scatter:
            return self._single_step(weights, symbols, state)
        halves = self._halves(state.hidden.dtype)
        scale = 1.0 / (1.0 - self.model.dropout)
        features, hiddens, cells = symbols.T, [], []  # (time, batch)
        for layer in range(self.model.num_layers):
            inputs = weights[f"lstm.{layer}.weight_ih"].T * halves  # (inputs, 4*unit)
            recurrent = weights[f"lstm.{layer}.weight_hh"].T * halves  # (unit, 4*unit)
            bias = weights[f"lstm.{layer}.bias"] * halves
            if layer == 0:  # a product with one-hot rows is a choice of rows
                pre = _rows(self.scatter, inputs + bias, features)
            else:
                pre = product(self.operands, PLAIN, _flat(features), inputs) + bias
            pre = pre.reshape(*symbols.T.shape, -1)  # (time, batch, 4*unit)
            features, hidden, cell = _layer(
                self.operands, pre, recurrent, state.hidden[layer], state.cell[layer]
            )
            hiddens.append(hidden)
            cells.append(cell)
            if masks is not None:
                kept = masks[layer].transpose(1, 0, 2).astype(features.dtype)
                features = features * kept * scale  # (time, batch, unit)
        return features, State(jnp.stack(hiddens), jnp.stack(cells))

    def _halves(self, dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        """What pre-activations are multiplied by before the tanh, ``(4*unit,)``, gates i, f, g, o."""
        return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], dtype), self.model.lstm_size)

    def _single_step(
        self, weights: Weights[jax.Array], symbols: jax.Array, state: State[jax.Array]
    ) -> tuple[jax.Array, State[jax.Array]]:
        """One time step, for which no weights are prepared: that would take longer than the step."""
        halves = self._halves(state.hidden.dtype)
        features, hiddens, cells = None, [], []
        for layer in range(self.model.num_layers):
            weight_ih, weight_hh, bias = (
                weights[f"lstm.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias")
            )
            if features is None:
                pre = weight_ih[:, symbols[:, 0]].T
            else:
                pre = product(self.operands, BY_COLUMNS, features, weight_ih)
            recurrent = product(self.operands, BY_COLUMNS, state.hidden[layer], weight_hh)
            i, f, g, o = _gates(jnp.tanh((pre + recurrent + bias) * halves))  # (batch, unit) each
            cell = _sigmoid(f) * state.cell[layer] + _sigmoid(i) * g
            features = _sigmoid(o) * jnp.tanh(cell)
            hiddens.append(features)
            cells.append(cell)
        return hiddens[-1][None], State(jnp.stack(hiddens), jnp.stack(cells))


def _flat(array: jax.Array) -> jax.Array:
    """``(time, batch, x)`` as ``(time*batch, x)``."""
    return array.reshape(-1, array.shape[-1])


# ---- layer 0's choice of rows --------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rows(scatter: bool, table: jax.Array, symbols: jax.Array) -> jax.Array:
    """The rows of ``table (symbols, width)`` that the symbols name."""
    return table[symbols]


def _rows_forward(scatter: bool, table: jax.Array, symbols: jax.Array) -> tuple[jax.Array, Arrays]:
    return table[symbols], (table, symbols)


def _rows_backward(scatter: bool, kept: Arrays, gradient: jax.Array) -> tuple[jax.Array, None]:
    table, symbols = kept
    if scatter:
        return jnp.zeros_like(table).at[symbols].add(gradient), None
    one_hot = jax.nn.one_hot(symbols.reshape(-1), len(table), dtype=gradient.dtype)
    return contract(one_hot, _flat(gradient), BY_ROWS, gradient.dtype), None


_rows.defvjp(_rows_forward, _rows_backward)


# ---- one layer -----------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer(
    operands: np.dtype[Any], pre: jax.Array, recurrent: jax.Array, hidden: jax.Array, cell: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One layer over the whole sequence; returns all hidden outputs, and the last hidden and cell.

    ``pre (time, batch, 4*unit)`` is what the inputs and the bias bring to the pre-activations, and
    ``recurrent (unit, 4*unit)`` the recurrent weights, both with the sigmoid gates halved; ``hidden`` and
    ``cell``, ``(batch, unit)``, are the state before.
    """
    matrix = recurrent.astype(operands)

    def step(state: Pair, pre: jax.Array) -> tuple[Pair, jax.Array]:
        hidden, cell = state
        i, f, g, o = _gates(jnp.tanh(pre + contract(hidden, matrix, PLAIN, operands)))
        cell = _sigmoid(f) * cell + _sigmoid(i) * g
        hidden = _sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    (last_hidden, last_cell), features = lax.scan(step, (hidden, cell), pre)
    return features, last_hidden, last_cell


def _gates(array: jax.Array) -> Arrays:
    """The four blocks of ``(batch, 4*unit)``, in the order i, f, g, o."""
    return tuple(jnp.split(array, 4, axis=1))


def _sigmoid(tanh_of_half: jax.Array) -> jax.Array:
    return 0.5 * tanh_of_half + 0.5


def _layer_forward(
    operands: np.dtype[Any], pre: jax.Array, recurrent: jax.Array, hidden: jax.Array, cell: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Arrays]:
    """The same, keeping the factors of the backward pass, which it would otherwise have to compute again.

    ``slopes (time, batch, 4*unit)`` take the gradient of the cell (of the hidden output, for gate o) to
    that of the pre-activations, and lie where ``pre`` lay; ``into_cell`` takes that of the hidden output to
    the cell, and ``forget`` that of the cell to the cell before.
    """
    matrix = recurrent.astype(operands)

    def step(time: jax.Array, carried: Arrays) -> Arrays:
        slopes, into_cell, forget, features, hidden, cell = carried
        i, f, g, o = _gates(jnp.tanh(_at(slopes, time) + contract(hidden, matrix, PLAIN, operands)))
        after = _sigmoid(f) * cell + _sigmoid(i) * g
        tanh_cell = jnp.tanh(after)
        hidden = _sigmoid(o) * tanh_cell
        slope = (
            0.5 * (1 - i * i) * g,
            0.5 * (1 - f * f) * cell,
            (1 - g * g) * _sigmoid(i),
            0.5 * (1 - o * o) * tanh_cell,
        )
        return (
            _put(slopes, jnp.concatenate(slope, axis=1), time),
            _put(into_cell, _sigmoid(o) * (1 - tanh_cell * tanh_cell), time),
            _put(forget, _sigmoid(f), time),
            _put(features, hidden, time),
            hidden,
            after,
        )

    empty = jnp.zeros((*pre.shape[:2], cell.shape[1]), pre.dtype)
    start = (pre, empty, empty, empty, hidden, cell)
    slopes, into_cell, forget, features, *last = lax.fori_loop(
        0, len(pre), step, start, unroll=_time_steps(operands, len(pre))
    )
    return (features, *last), (recurrent, hidden, slopes, into_cell, forget, features)


def _layer_backward(operands: np.dtype[Any], kept: Arrays, gradients: Arrays) -> Arrays:
    """From the gradients of what ``_layer`` returned to those of what it was given.

    The gradient of the pre-activations takes the place of the slopes, one time step after the other.
    """
    recurrent, hidden, slopes, into_cell, forget, features = kept
    into_features, into_hidden, into_last_cell = gradients
    matrix = recurrent.astype(operands)

    def step(count: jax.Array, carried: Arrays) -> Arrays:
        deltas, d_hidden, d_cell = carried
        time = len(deltas) - 1 - count
        d_hidden = d_hidden + _at(into_features, time)
        d_cell = d_cell + d_hidden * _at(into_cell, time)
        delta = _at(deltas, time) * jnp.concatenate([d_cell, d_cell, d_cell, d_hidden], axis=1)
        deltas = _put(deltas, delta, time)
        if operands == jnp.bfloat16:  # or XLA computes it twice, to write and to round, and copies all first
            delta = _at(deltas, time)
        return deltas, contract(delta, matrix, BY_COLUMNS, operands), d_cell * _at(forget, time)

    start = (slopes, into_hidden, into_last_cell)
    unroll = _time_steps(operands, len(slopes))
    deltas, d_hidden, d_cell = lax.fori_loop(0, len(slopes), step, start, unroll=unroll)
    before = jnp.concatenate([hidden[None], features[:-1]])  # (time, batch, unit)
    return deltas, contract(_flat(deltas), _flat(before), BY_ROWS, operands).T, d_hidden, d_cell


_layer.defvjp(_layer_forward, _layer_backward)


def _time_steps(operands: np.dtype[Any], length: int) -> int:
    """How many time steps one round of a loop takes.

    Two save a tenth of the time, but take longer to compile, which short sequences don't make up for. With operands
    that are rounded they cost more: XLA then can't distinguish the two steps' positions in a sequence, and copies all
    of it in each round.
    """
    return 1 if operands == jnp.bfloat16 or length < _SHORT else 2


def _at(array: jax.Array, time: jax.Array) -> jax.Array:
    row: jax.Array = lax.dynamic_index_in_dim(array, time, keepdims=False)
    return row


def _put(array: jax.Array, value: jax.Array, time: jax.Array) -> jax.Array:
    written: jax.Array = lax.dynamic_update_index_in_dim(array, value, time, 0)
    return written
