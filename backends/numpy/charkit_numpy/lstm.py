"""The stacked LSTM: forward, and back-propagation through time by hand.

Inside, arrays are time-major: ``(time, batch, ...)``. The gates are kept in the order g, i, f, o, so
that the three sigmoid gates lie side by side, and so do the three that the cell's gradient enters.
A sigmoid is ``0.5 * tanh(0.5 z) + 0.5``; the inner 0.5 is multiplied into the prepared weights, which is
exact, so one tanh over all four gates serves.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from charkit.backend import State, Weights
from charkit.config import ModelConfig
from charkit_numpy.tape import Array, Tape, Workspace, active_tape, workspace

#: Where canonical gates (i, f, g, o) go inside: position of g, i, f, o in the canonical order.
_INSIDE = (2, 0, 1, 3)
#: Bytes of gate coefficients that one block of the backward pass works on; fits a core's own cache.
_BLOCK_BYTES = 1 << 20
#: Up to this many symbols the gradient of layer 0's weights is a product with a one-hot matrix.
_ONE_HOT_LIMIT = 512


class _Layer(NamedTuple):
    """One layer's weights, prepared for the loops. Gates in inside order; sigmoid gates' rows halved."""

    inputs: Array  # (inputs, 4*unit); layer 0: the bias is added in, a row per symbol
    bias: Array | None  # (4*unit,); None for layer 0
    recurrent: Array  # (unit, 4*unit)
    back_inputs: Array | None  # (4*unit, inputs), not halved; None for layer 0, which has no input gradient
    back_recurrent: Array  # (4*unit, unit), not halved


class _Trace(NamedTuple):
    """What one layer's forward pass leaves for its backward pass."""

    gates: Array  # (time, batch, 4*unit), after their nonlinearities
    cells: Array  # (time + 1, batch, unit), the first is the state before
    tanh_cells: Array  # (time, batch, unit)
    hidden: Array  # (time + 1, batch, unit), the first is the state before


class NumpyLstm:
    """``(weights, symbols, state, masks) -> features (time, batch, unit), state``."""

    def __init__(self, model: ModelConfig) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._prepared: tuple[Weights[Array], list[_Layer]] | None = None

    def __call__(
        self, weights: Weights[Array], symbols: Array, state: State[Array], masks: Array | None
    ) -> tuple[Array, State[Array]]:
        layers = self._prepare(weights)
        space, tape = workspace(), active_tape()
        symbols = np.ascontiguousarray(symbols.T)  # (time, batch)
        traces: list[_Trace] = []
        inputs: list[Array] = [symbols]
        for index, layer in enumerate(layers):
            trace = _forward(space, index, layer, inputs[-1], state)
            traces.append(trace)
            inputs.append(self._drop(space, index, trace.hidden[1:], masks))
        after = State(
            np.stack([trace.hidden[-1] for trace in traces]), np.stack([trace.cells[-1] for trace in traces])
        )
        if tape is not None:
            tape.push(lambda gradient: self._backward(tape, layers, traces, inputs, masks, gradient))
        return inputs[-1], after

    def _prepare(self, weights: Weights[Array]) -> list[_Layer]:
        """The layers' prepared weights, made once per dictionary of weights (an update makes a new one)."""
        with self._lock:
            if self._prepared is None or self._prepared[0] is not weights:
                layers = [_prepare_layer(weights, index) for index in range(self._model.num_layers)]
                self._prepared = (weights, layers)
            return self._prepared[1]

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
        layers: list[_Layer],
        traces: list[_Trace],
        inputs: list[Array],
        masks: Array | None,
        gradient: Array,
    ) -> None:
        for index in reversed(range(len(layers))):
            if masks is not None:
                gradient *= masks[index].transpose(1, 0, 2)
                gradient *= 1.0 / (1.0 - self._model.dropout)
            deltas = _back_through_time(tape, layers[index], traces[index], gradient)
            self._weight_gradients(tape, index, traces[index], inputs[index], deltas)
            back = layers[index].back_inputs
            if back is not None:
                np.matmul(_rows(deltas), back, out=_rows(gradient))

    def _weight_gradients(self, tape: Tape, index: int, trace: _Trace, inputs: Array, deltas: Array) -> None:
        rows = _rows(deltas)  # (time*batch, 4*unit)
        if index == 0:
            input_gradient = _gather_gradient(tape, inputs.ravel(), rows, self._model.vocabulary_size)
        else:
            input_gradient = np.matmul(rows.T, _rows(inputs))
        _to_canonical(tape, f"lstm.{index}.weight_ih", input_gradient)
        _to_canonical(tape, f"lstm.{index}.weight_hh", np.matmul(rows.T, _rows(trace.hidden[:-1])))
        _to_canonical(tape, f"lstm.{index}.bias", np.dot(np.ones(len(rows), rows.dtype), rows))


def _rows(array: Array) -> Array:
    """``(time, batch, x)`` as ``(time*batch, x)``, without a copy."""
    return array.reshape(-1, array.shape[-1])


def _inside(canonical: Array) -> Array:
    """The four gate blocks of the first axis in inside order, as a new array."""
    blocks = canonical.reshape(4, -1, *canonical.shape[1:])
    return np.asarray(blocks[list(_INSIDE)]).reshape(canonical.shape)


def _to_canonical(tape: Tape, name: str, inside: Array) -> None:
    """Writes a gradient with gates in inside order to the tape, in canonical order."""
    gradient = tape.array(f"gradient.{name}", inside.shape, inside.dtype)
    source, target = inside.reshape(4, -1), gradient.reshape(4, -1)
    for position, gate in enumerate(_INSIDE):
        target[gate] = source[position]
    tape.gradients[name] = gradient


def _prepare_layer(weights: Weights[Array], index: int) -> _Layer:
    back_inputs = _inside(weights[f"lstm.{index}.weight_ih"])
    back_recurrent = _inside(weights[f"lstm.{index}.weight_hh"])
    bias = _inside(weights[f"lstm.{index}.bias"])
    unit = len(bias) // 4
    halves = np.full(4 * unit, 0.5, bias.dtype)
    halves[:unit] = 1.0  # g, the one tanh gate
    inputs = np.ascontiguousarray(back_inputs.T) * halves
    recurrent = np.ascontiguousarray(back_recurrent.T) * halves
    bias *= halves
    if index == 0:
        return _Layer(inputs + bias, None, recurrent, None, back_recurrent)
    return _Layer(inputs, bias, recurrent, back_inputs, back_recurrent)


def _forward(space: Workspace, index: int, layer: _Layer, inputs: Array, state: State[Array]) -> _Trace:
    """Runs one layer over all its time steps. ``inputs``: symbols ``(time, batch)`` or features."""
    time, batch = inputs.shape[:2]
    unit, dtype = layer.recurrent.shape[0], layer.recurrent.dtype
    gates = space.array(f"gates.{index}", (time, batch, 4 * unit), dtype)
    cells = space.array(f"cells.{index}", (time + 1, batch, unit), dtype)
    tanh_cells = space.array(f"tanh_cells.{index}", (time, batch, unit), dtype)
    hidden = space.array(f"hidden.{index}", (time + 1, batch, unit), dtype)
    recurrent = space.array("recurrent", (batch, 4 * unit), dtype)
    product = space.array("product", (batch, unit), dtype)
    if layer.bias is None:
        np.take(layer.inputs, inputs, axis=0, out=gates, mode="clip")  # a one-hot product is a row
    else:
        np.matmul(_rows(inputs), layer.inputs, out=_rows(gates))
        gates += layer.bias
    hidden[0], cells[0] = state.hidden[index], state.cell[index]
    for t in range(time):
        gate, cell = gates[t], cells[t + 1]
        np.dot(hidden[t], layer.recurrent, out=recurrent)
        np.add(gate, recurrent, out=gate)
        np.tanh(gate, out=gate)
        sigmoids = gate[:, unit:]
        np.multiply(sigmoids, 0.5, out=sigmoids)
        np.add(sigmoids, 0.5, out=sigmoids)
        np.multiply(gate[:, 2 * unit : 3 * unit], cells[t], out=cell)  # f * c
        np.multiply(gate[:, unit : 2 * unit], gate[:, :unit], out=product)  # i * g
        np.add(cell, product, out=cell)
        np.tanh(cell, out=tanh_cells[t])
        np.multiply(gate[:, 3 * unit :], tanh_cells[t], out=hidden[t + 1])
    return _Trace(gates, cells, tanh_cells, hidden)


def _back_through_time(tape: Tape, layer: _Layer, trace: _Trace, gradient: Array) -> Array:
    """The gradient of the pre-activations, ``(time, batch, 4*unit)``, gates in inside order.

    ``gradient`` is that of the layer's hidden output, ``(time, batch, unit)``; it is written over.
    """
    time, batch, unit = gradient.shape
    dtype = gradient.dtype
    deltas = tape.array("deltas", (time, batch, 4 * unit), dtype)
    block = max(1, min(time, _BLOCK_BYTES // (batch * 4 * unit * dtype.itemsize)))
    into_cell = tape.array("into_cell", (block, batch, unit), dtype)
    from_next = tape.array("from_next", (batch, unit), dtype)
    product = tape.array("product", (batch, unit), dtype)
    cell = tape.array("cell_gradient", (batch, unit), dtype)
    from_next[:] = 0
    cell[:] = 0
    for stop in range(time, 0, -block):
        start = max(0, stop - block)
        _coefficients(trace, start, stop, deltas, into_cell)
        for t in reversed(range(start, stop)):
            delta, hidden = deltas[t], gradient[t]
            np.add(hidden, from_next, out=hidden)
            np.multiply(hidden, into_cell[t - start], out=product)
            np.add(cell, product, out=cell)
            through_cell = delta.reshape(batch, 4, unit)[:, :3]
            np.multiply(through_cell, cell[:, None, :], out=through_cell)
            output = delta[:, 3 * unit :]
            np.multiply(output, hidden, out=output)
            np.dot(delta, layer.back_recurrent, out=from_next)
            np.multiply(cell, trace.gates[t][:, 2 * unit : 3 * unit], out=cell)
    return deltas


def _coefficients(trace: _Trace, start: int, stop: int, deltas: Array, into_cell: Array) -> None:
    """Fills in what the gradients of cell and hidden are multiplied with, for time steps start to stop."""
    unit = trace.cells.shape[-1]
    gates, delta = trace.gates[start:stop], deltas[start:stop]
    tanh_cells, into_cell = trace.tanh_cells[start:stop], into_cell[: stop - start]
    g, i = gates[..., :unit], gates[..., unit : 2 * unit]
    sigmoids, slopes = gates[..., unit:], delta[..., unit:]
    np.subtract(1.0, sigmoids, out=slopes)
    np.multiply(slopes, sigmoids, out=slopes)
    slopes[..., :unit] *= g
    slopes[..., unit : 2 * unit] *= trace.cells[start:stop]
    slopes[..., 2 * unit :] *= tanh_cells
    _one_minus_square(g, delta[..., :unit])
    delta[..., :unit] *= i
    _one_minus_square(tanh_cells, into_cell)
    into_cell *= gates[..., 3 * unit :]


def _one_minus_square(values: Array, out: Array) -> None:
    np.multiply(values, values, out=out)
    np.subtract(1.0, out, out=out)


def _gather_gradient(tape: Tape, symbols: Array, rows: Array, vocabulary_size: int) -> Array:
    """Adds up the rows of each symbol: ``(4*unit, vocabulary)`` from ``rows (time*batch, 4*unit)``."""
    if vocabulary_size <= _ONE_HOT_LIMIT:
        present, positions = None, symbols
        width = vocabulary_size
    else:
        present, positions = np.unique(symbols, return_inverse=True)
        width = len(present)
    one_hot = tape.array("one_hot", (len(symbols), width), rows.dtype)
    one_hot[:] = 0
    one_hot[np.arange(len(symbols)), positions] = 1
    product: Array = np.matmul(rows.T, one_hot)
    if present is None:
        return product
    gradient = np.zeros((rows.shape[1], vocabulary_size), rows.dtype)
    gradient[:, present] = product
    return gradient
