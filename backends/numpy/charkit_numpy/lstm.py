"""The stacked LSTM: forward, and back-propagation through time by hand.

Inside, arrays are time-major and each gate has a block of its own: ``(gate, time, batch, unit)``. Every
pointwise operation then runs over contiguous memory, which is three times as fast as over slices of
``4*unit`` wide rows. The gates are kept in the order g, i, f, o, so that the three sigmoid gates lie side
by side, and so do the three that the cell's gradient enters. A sigmoid is ``0.5 * tanh(0.5 z) + 0.5``; the
inner 0.5 is multiplied into the prepared weights, which is exact, so one tanh over all four gates serves.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from charkit.backend import State, Weights
from charkit.config import ModelConfig
from charkit_numpy.layer_inputs import FeatureRows, OneHotRows, gradient_array, rows_of
from charkit_numpy.single_step import SingleStep
from charkit_numpy.single_symbol import SingleSymbol, layer_of
from charkit_numpy.tape import Array, Tape, Workspace, active_tape, workspace

#: The gates g, i, f, o of the inside, as positions in the canonical order i, f, g, o.
_INSIDE = (2, 0, 1, 3)
#: What the pre-activation of each inside gate is multiplied with: half for the sigmoids.
_HALVES = (1.0, 0.5, 0.5, 0.5)
#: Bytes of gates, or of their coefficients in the backward pass, in one block of time steps; fits a core's own cache.
_BLOCK_BYTES = 1 << 20
#: Time steps of a block in evaluation, at least: input weights are read anew for each. Wide layers get one block.
_LEAST_BLOCK = 4


class _Layer(NamedTuple):
    """One layer's weights, prepared for the loops; the first axis is the gate, in inside order."""

    inputs: Array  # (4, inputs, unit), sigmoids halved; layer 0: the bias is added in, a row per symbol
    bias: Array | None  # (4, 1, unit), sigmoids halved; None for layer 0
    recurrent: Array  # (4, unit, unit), sigmoids halved
    back_inputs: Array | None  # (4, unit, inputs); None for layer 0, which has no input gradient
    back_recurrent: Array  # (4, unit, unit)


class Trace(NamedTuple):
    """What one layer's forward pass leaves for its backward pass."""

    gates: Array  # (4, time, batch, unit), after their nonlinearities; (time, batch, 4*unit) in fused.py
    cells: Array  # (time + 1, batch, unit), the first is the state before
    tanh_cells: Array  # (time, batch, unit)
    hidden: Array  # (time + 1, batch, unit), the first is the state before


class NumpyLstm:
    """``(weights, symbols, state, masks) -> features (time, batch, unit), state``."""

    def __init__(self, model: ModelConfig) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._prepared: tuple[Weights[Array], list[Any]] | None = None
        self._steps: tuple[Weights[Array], SingleSymbol, SingleStep] | None = None

    def __call__(
        self, weights: Weights[Array], symbols: Array, state: State[Array], masks: Array | None
    ) -> tuple[Array, State[Array]]:
        space, tape = workspace(), active_tape()
        if tape is None and masks is None and symbols.shape[1] == 1:
            single_symbol, single_step = self._single_steps(weights)
            if len(symbols) == 1:
                return single_symbol(symbols.item(), state)
            return single_step(space, symbols, state)
        layers = self._prepare(weights)
        if tape is None and masks is None:
            return self._in_blocks(space, layers, symbols, state)
        traces, inputs, after = self._through_layers(space, layers, symbols, state, masks)
        if tape is not None:
            tape.push(lambda gradient: self._backward(tape, layers, traces, inputs, masks, gradient))
        return inputs[-1], after

    def _in_blocks(
        self, space: Workspace, layers: list[Any], symbols: Array, state: State[Array]
    ) -> tuple[Array, State[Array]]:
        """Evaluation, which keeps no trace: a few time steps at a time through all layers, in a core's own cache."""
        (batch, time), unit, dtype = symbols.shape, state.hidden.shape[-1], state.hidden.dtype
        block = _BLOCK_BYTES // (max(1, batch) * 4 * unit * dtype.itemsize)
        block = block if block >= _LEAST_BLOCK else max(1, time)
        features = space.array("features", (time, batch, unit), dtype)
        for start in range(0, time, block):
            part = slice(start, start + block)
            _, outputs, state = self._through_layers(space, layers, symbols[:, part], state, None)
            features[part] = outputs[-1]
        return features, state

    def _through_layers(
        self, space: Workspace, layers: list[Any], symbols: Array, state: State[Array], masks: Array | None
    ) -> tuple[list[Trace], list[Array], State[Array]]:
        """Each layer's trace; the symbols ``(time, batch)`` and each layer's output; the state after the last step."""
        traces: list[Trace] = []
        inputs: list[Array] = [np.ascontiguousarray(symbols.T)]
        for index, layer in enumerate(layers):
            trace = self._forward(space, index, layer, inputs[-1], state.hidden[index], state.cell[index])
            traces.append(trace)
            inputs.append(self._drop(space, index, trace.hidden[1:], masks))
        ends = zip(*((trace.hidden[-1], trace.cells[-1]) for trace in traces), strict=True)
        return traces, inputs, State(*map(np.stack, ends))

    def _prepare(self, weights: Weights[Array]) -> list[Any]:
        """The layers' prepared weights, made once per dictionary of weights (an update makes a new one)."""
        with self._lock:
            if self._prepared is None or self._prepared[0] is not weights:
                layers = [self._layer(weights, index) for index in range(self._model.num_layers)]
                self._prepared = (weights, layers)
            return self._prepared[1]

    def _layer(self, weights: Weights[Array], index: int) -> Any:
        """The layer's weights as this class prepares them."""
        return _prepare_layer(weights, index)

    def _forward(
        self,
        space: Workspace,
        index: int,
        layer: Any,
        inputs: Array,
        hidden_before: Array,
        cell_before: Array,
    ) -> Trace:
        """Runs one layer over all its time steps. ``inputs``: symbols ``(time, batch)`` or features."""
        return _forward(space, index, layer, inputs, hidden_before, cell_before)

    def _single_steps(self, weights: Weights[Array]) -> tuple[SingleSymbol, SingleStep]:
        """What computes a time step of one stream and of several with these weights, made once per dictionary."""
        with self._lock:
            if self._steps is None or self._steps[0] is not weights:
                layers = [layer_of(weights, index) for index in range(self._model.num_layers)]
                self._steps = (weights, SingleSymbol(layers), SingleStep(layers))
            return self._steps[1:]

    def _drop(self, space: Workspace, index: int, hidden: Array, masks: Array | None) -> Array:
        if masks is None:
            return hidden
        dropped = space.array(f"dropped.{index}", hidden.shape, hidden.dtype)
        np.multiply(hidden, masks[index].transpose(1, 0, 2), out=dropped)
        dropped *= 1.0 / (1.0 - self._model.dropout)
        return dropped

    def _backward(
        self,
        tape: Tape,
        layers: list[Any],
        traces: list[Trace],
        inputs: list[Array],
        masks: Array | None,
        gradient: Array,
    ) -> None:
        for index in reversed(range(len(layers))):
            if masks is not None:
                gradient *= masks[index].transpose(1, 0, 2)
                gradient *= 1.0 / (1.0 - self._model.dropout)
            self._layer_gradients(tape, index, layers[index], traces[index], inputs[index], gradient)

    def _layer_gradients(
        self, tape: Tape, index: int, layer: Any, trace: Trace, inputs: Array, gradient: Array
    ) -> None:
        """Writes the layer's gradients to the tape, and over ``gradient``, its output's, that of its input."""
        deltas = _back_through_time(tape, layer, trace, gradient)
        self._weight_gradients(tape, index, trace, inputs, deltas)
        if layer.back_inputs is not None:
            _sum_of_products(tape, deltas, layer.back_inputs, gradient)

    def _weight_gradients(self, tape: Tape, index: int, trace: Trace, inputs: Array, deltas: Array) -> None:
        """Writes this layer's gradients to the tape, each one product over all time steps per gate."""
        name, dtype = f"lstm.{index}", deltas.dtype
        unit = deltas.shape[-1]
        before = rows_of(trace.hidden[:-1])
        sources = (
            OneHotRows(tape, inputs, self._model.vocabulary_size, dtype)
            if index == 0
            else FeatureRows(inputs)
        )
        input_gradient = gradient_array(tape, f"{name}.weight_ih", (4 * unit, sources.width), dtype)
        recurrent_gradient = gradient_array(tape, f"{name}.weight_hh", (4 * unit, unit), dtype)
        bias_gradient = gradient_array(tape, f"{name}.bias", (4 * unit,), dtype)
        ones = np.ones(len(before), dtype)
        for position, gate in enumerate(_INSIDE):
            block = slice(gate * unit, (gate + 1) * unit)
            rows = rows_of(deltas[position])  # (time*batch, unit)
            sources.product(rows, input_gradient[block])
            np.matmul(rows.T, before, out=recurrent_gradient[block])
            np.dot(ones, rows, out=bias_gradient[block])


def _sum_of_products(tape: Tape, deltas: Array, back: Array, out: Array) -> None:
    """The gates' ``deltas (4, time, batch, unit)`` times ``back (4, unit, inputs)``, added up over gates."""
    product = tape.array("input_product", (len(rows_of(out)), back.shape[-1]), out.dtype)
    np.matmul(rows_of(deltas[0]), back[0], out=rows_of(out))
    for position in (1, 2, 3):
        np.matmul(rows_of(deltas[position]), back[position], out=product)
        np.add(rows_of(out), product, out=rows_of(out))


def _prepare_layer(weights: Weights[Array], index: int) -> _Layer:
    order = list(_INSIDE)
    bias = weights[f"lstm.{index}.bias"].reshape(4, 1, -1)[order]
    unit = bias.shape[-1]
    back_inputs = weights[f"lstm.{index}.weight_ih"].reshape(4, unit, -1)[order]
    back_recurrent = weights[f"lstm.{index}.weight_hh"].reshape(4, unit, unit)[order]
    halves = np.array(_HALVES, bias.dtype).reshape(4, 1)
    inputs = np.ascontiguousarray((back_inputs * halves[:, None]).transpose(0, 2, 1))
    recurrent = np.ascontiguousarray((back_recurrent * halves[:, None]).transpose(0, 2, 1))
    bias *= halves[:, None]
    if index == 0:
        return _Layer(inputs + bias, None, recurrent, None, back_recurrent)
    return _Layer(inputs, bias, recurrent, back_inputs, back_recurrent)


def _forward(
    space: Workspace, index: int, layer: _Layer, inputs: Array, hidden_before: Array, cell_before: Array
) -> Trace:
    time, batch = inputs.shape[:2]
    unit, dtype = layer.recurrent.shape[-1], layer.recurrent.dtype
    gates = space.array(f"gates.{index}", (4, time, batch, unit), dtype)
    cells = space.array(f"cells.{index}", (time + 1, batch, unit), dtype)
    tanh_cells = space.array(f"tanh_cells.{index}", (time, batch, unit), dtype)
    hidden = space.array(f"hidden.{index}", (time + 1, batch, unit), dtype)
    recurrent = space.array("recurrent", (4, batch, unit), dtype)
    product = space.array("product", (batch, unit), dtype)
    if layer.bias is None:
        np.take(layer.inputs, inputs, axis=1, out=gates, mode="clip")  # a one-hot product is a row
    else:
        np.matmul(rows_of(inputs), layer.inputs, out=gates.reshape(4, -1, unit))
        gates += layer.bias[:, None]
    hidden[0], cells[0] = hidden_before, cell_before
    for t in range(time):
        step, cell = gates[:, t], cells[t + 1]
        np.matmul(hidden[t], layer.recurrent, out=recurrent)
        np.add(step, recurrent, out=step)
        np.tanh(step, out=step)
        sigmoids = step[1:]
        np.multiply(sigmoids, 0.5, out=sigmoids)
        np.add(sigmoids, 0.5, out=sigmoids)
        np.multiply(step[2], cells[t], out=cell)  # f * c
        np.multiply(step[1], step[0], out=product)  # i * g
        np.add(cell, product, out=cell)
        np.tanh(cell, out=tanh_cells[t])
        np.multiply(step[3], tanh_cells[t], out=hidden[t + 1])
    return Trace(gates, cells, tanh_cells, hidden)


def _back_through_time(tape: Tape, layer: _Layer, trace: Trace, gradient: Array) -> Array:
    """The gradient of the pre-activations, ``(4, time, batch, unit)``, gates in inside order.

    ``gradient`` is that of the layer's hidden output, ``(time, batch, unit)``; it is written over.
    """
    (time, batch, unit), dtype = gradient.shape, gradient.dtype
    deltas = tape.array("deltas", (4, time, batch, unit), dtype)
    block = max(1, min(time, _BLOCK_BYTES // (batch * 4 * unit * dtype.itemsize)))
    into_cell = tape.array("into_cell", (block, batch, unit), dtype)
    recurrent = tape.array("recurrent", (4, batch, unit), dtype)
    from_next = tape.array("from_next", (batch, unit), dtype)
    product = tape.array("product", (batch, unit), dtype)
    cell = tape.array("cell_gradient", (batch, unit), dtype)
    from_next[:] = 0
    cell[:] = 0
    for stop in range(time, 0, -block):
        start = max(0, stop - block)
        _coefficients(trace, slice(start, stop), deltas, into_cell)
        for t in reversed(range(start, stop)):
            delta, hidden = deltas[:, t], gradient[t]
            np.add(hidden, from_next, out=hidden)
            np.multiply(hidden, into_cell[t - start], out=product)
            np.add(cell, product, out=cell)
            np.multiply(delta[:3], cell, out=delta[:3])
            np.multiply(delta[3], hidden, out=delta[3])
            np.matmul(delta, layer.back_recurrent, out=recurrent)
            np.add.reduce(recurrent, axis=0, out=from_next)
            np.multiply(cell, trace.gates[2, t], out=cell)
    return deltas


def _coefficients(trace: Trace, steps: slice, deltas: Array, into_cell: Array) -> None:
    """Fills in what the gradients of cell and hidden are multiplied with, for a block of time steps."""
    gates, delta = trace.gates[:, steps], deltas[:, steps]
    tanh_cells = trace.tanh_cells[steps]
    into_cell = into_cell[: len(tanh_cells)]
    np.subtract(1.0, gates[1:], out=delta[1:])
    np.multiply(delta[1:], gates[1:], out=delta[1:])  # the slope of a sigmoid
    delta[1] *= gates[0]
    delta[2] *= trace.cells[steps]
    delta[3] *= tanh_cells
    _one_minus_square(gates[0], delta[0])
    delta[0] *= gates[1]
    _one_minus_square(tanh_cells, into_cell)
    into_cell *= gates[3]


def _one_minus_square(values: Array, out: Array) -> None:
    np.multiply(values, values, out=out)
    np.subtract(1.0, out, out=out)
