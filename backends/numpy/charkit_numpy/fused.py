"""The LSTM and the optimizer with their pointwise operations fused into compiled loops, in float32.

They compute what ``lstm.py`` and ``optimizer.py`` compute, in another order, so the last bits differ. What differs in
layout: the gates of a time step lie side by side, ``(time, batch, 4*unit)`` in the canonical order i, f, g, o.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from charkit.backend import Rates, Weights
from charkit_numpy.layer_inputs import ONE_HOT_LIMIT, gradient_array, rows_of
from charkit_numpy.lstm import NumpyLstm, Trace
from charkit_numpy.numba_support import load_kernels
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.tape import Array, Tape, Workspace


class _Layer(NamedTuple):
    """One layer's weights, prepared for the loops; the gates of the first three are in columns, sigmoids halved."""

    inputs: Array  # (inputs, 4*unit); layer 0: the bias is added in, a row per symbol
    recurrent: Array  # (unit, 4*unit)
    bias: Array  # (4*unit,)
    back_inputs: Array | None  # (4*unit, inputs); None for layer 0, which has no input gradient
    back_recurrent: Array  # (4*unit, unit)


class FusedLstm(NumpyLstm):
    """The LSTM of ``lstm.py`` on the compiled loops of ``kernels.py``."""

    def _layer(self, weights: Weights[Array], index: int) -> _Layer:
        names = (f"lstm.{index}.{name}" for name in ("weight_ih", "weight_hh", "bias"))
        back_inputs, back_recurrent, bias = (weights[name] for name in names)
        halves = np.repeat(np.array((0.5, 0.5, 1.0, 0.5), bias.dtype), len(bias) // 4)
        inputs = np.ascontiguousarray(back_inputs.T) * halves
        recurrent = np.ascontiguousarray(back_recurrent.T) * halves
        bias = bias * halves
        if index == 0:
            return _Layer(inputs + bias, recurrent, bias, None, back_recurrent)
        return _Layer(inputs, recurrent, bias, back_inputs, back_recurrent)

    def _forward(
        self,
        space: Workspace,
        index: int,
        layer: _Layer,
        inputs: Array,
        hidden_before: Array,
        cell_before: Array,
    ) -> Trace:
        kernels = load_kernels()
        time, batch = inputs.shape[:2]
        unit = len(layer.recurrent)
        gates = space.array(f"gates.{index}", (time, batch, 4 * unit), np.float32)
        cells = space.array(f"cells.{index}", (time + 1, batch, unit), np.float32)
        tanh_cells = space.array(f"tanh_cells.{index}", (time, batch, unit), np.float32)
        hidden = space.array(f"hidden.{index}", (time + 1, batch, unit), np.float32)
        hidden[0], cells[0] = hidden_before, cell_before
        if index == 0:
            symbols = _in_range(inputs, len(layer.inputs))
            for t in range(time):
                np.dot(hidden[t], layer.recurrent, out=gates[t])
                kernels.step_of_symbols(
                    gates[t], symbols[t], layer.inputs, cells[t], cells[t + 1], tanh_cells[t], hidden[t + 1]
                )
            return Trace(gates, cells, tanh_cells, hidden)
        product = space.array("recurrent", (batch, 4 * unit), np.float32)
        np.dot(rows_of(inputs), layer.inputs, out=rows_of(gates))
        for t in range(time):
            np.dot(hidden[t], layer.recurrent, out=product)
            kernels.step_of_features(
                gates[t], product, layer.bias, cells[t], cells[t + 1], tanh_cells[t], hidden[t + 1]
            )
        return Trace(gates, cells, tanh_cells, hidden)

    def _layer_gradients(
        self, tape: Tape, index: int, layer: _Layer, trace: Trace, inputs: Array, gradient: Array
    ) -> None:
        deltas = rows_of(_back_through_time(tape, layer, trace, gradient))  # (time*batch, 4*unit)
        before = rows_of(trace.hidden[:-1])
        name, size = f"lstm.{index}", deltas.shape[1]
        recurrent_gradient = gradient_array(tape, f"{name}.weight_hh", (size, before.shape[1]), np.float32)
        np.dot(deltas.T, before, out=recurrent_gradient)
        bias_gradient = gradient_array(tape, f"{name}.bias", (size,), np.float32)
        if layer.back_inputs is None:
            width = self._model.vocabulary_size
            input_gradient = gradient_array(tape, f"{name}.weight_ih", (size, width), np.float32)
            _by_symbol(tape, deltas, _in_range(inputs, width).ravel(), input_gradient)
            np.sum(input_gradient, axis=1, out=bias_gradient)
            return
        input_gradient = gradient_array(tape, f"{name}.weight_ih", layer.back_inputs.shape, np.float32)
        np.dot(deltas.T, rows_of(inputs), out=input_gradient)
        np.dot(np.ones(len(deltas), np.float32), deltas, out=bias_gradient)
        np.dot(deltas, layer.back_inputs, out=rows_of(gradient))


def _back_through_time(tape: Tape, layer: _Layer, trace: Trace, gradient: Array) -> Array:
    """The gradient of the pre-activations, ``(time, batch, 4*unit)``, from that of the hidden output."""
    kernels = load_kernels()
    time, batch, unit = gradient.shape
    from_next = tape.array("from_next", (batch, unit), np.float32)
    cell = tape.array("cell_gradient", (batch, unit), np.float32)
    from_next[:] = 0
    cell[:] = 0
    for t in reversed(range(time)):
        delta = trace.gates[t]
        kernels.step_back(delta, gradient[t], from_next, trace.cells[t], trace.tanh_cells[t], cell)
        np.dot(delta, layer.back_recurrent, out=from_next)
    return trace.gates


def _by_symbol(tape: Tape, deltas: Array, symbols: Array, out: Array) -> None:
    """Adds up ``deltas (time*batch, 4*unit)`` by symbol, into ``out (4*unit, vocabulary)``."""
    kernels = load_kernels()
    present: Array | None = None
    count = out.shape[1]
    if count > ONE_HOT_LIMIT:
        present, symbols = np.unique(symbols, return_inverse=True)
        count = len(present)
    sums = tape.array("sums_by_symbol", (count, deltas.shape[1]), np.float32)
    sums[:] = 0
    kernels.add_by_symbol(deltas, symbols, sums)
    if present is None:
        out[:] = sums.T
    else:
        out[:] = 0
        out[:, present] = sums.T


def _in_range(symbols: Array, vocabulary_size: int) -> Array:
    """The symbols as the compiled loops take them, which look up their rows without checking."""
    return np.clip(symbols, 0, vocabulary_size - 1).astype(np.int64)


class FusedOptimizer(NumpyOptimizer):
    """The optimizer of ``optimizer.py``, which reads and writes each array once."""

    def _update(
        self,
        weight: Array,
        mean: Array,
        square: Array,
        gradient: Array,
        scratch: Array,
        scale: float,
        rates: Rates[Any],
        decay: Any,
    ) -> None:
        beta1, beta2 = self._config.beta1, self._config.beta2
        rate = float(rates.learning_rate) / float(rates.bias_correction1)
        factors = (scale, beta1, 1.0 - beta1, beta2, 1.0 - beta2, float(rates.bias_correction2))
        load_kernels().update_with_adam(
            weight, mean, square, gradient, *map(np.float32, (*factors, self._config.epsilon, rate, decay))
        )
