"""One stream, one symbol: what sampling does, in as few calls of NumPy as possible.

Each layer is one product of a matrix with a vector: its input and its hidden output side by side. As in ``lstm.py`` the
gates lie in the order g, i, f, o, and the sigmoids' inner 0.5 is multiplied into the weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charkit.backend import State, Weights
from charkit_numpy.tape import Array

#: The gates g, i, f, o of the inside, as positions in the canonical order i, f, g, o.
_INSIDE = (2, 0, 1, 3)
_HALVES = (1.0, 0.5, 0.5, 0.5)


class _Layer(NamedTuple):
    """One layer's weights; those of layer 0's input are rows by symbol, with the bias added in."""

    matrix: Array  # (unit, 4*unit) for layer 0, else (2*unit, 4*unit): input, then hidden
    rows: Array  # (symbol, 4*unit) for layer 0, else (1, 4*unit): the bias


class SingleSymbol:
    """``(symbol, state) -> features (1, 1, unit), state`` for weights that stay as they are.

    It works in arrays of its own, so one thread at a time may call it; what it returns is fresh.
    """

    def __init__(self, weights: Weights[Array], num_layers: int) -> None:
        self._layers = [_prepared(weights, index) for index in range(num_layers)]
        unit, dtype = len(self._layers[0].matrix), self._layers[0].matrix.dtype
        self._input = np.empty(2 * unit, dtype)
        self._below, self._before = self._input[:unit], self._input[unit:]
        self._gates = np.empty(4 * unit, dtype)
        self._sigmoids = self._gates[unit:]
        self._g, self._i, self._f, self._o = self._gates.reshape(4, unit)
        self._product = np.empty(unit, dtype)

    def __call__(self, symbol: int, state: State[Array]) -> tuple[Array, State[Array]]:
        hidden, cell = np.empty_like(state.hidden), np.empty_like(state.cell)
        gates, sigmoids, product = self._gates, self._sigmoids, self._product
        before, row = self._before, symbol
        source = before
        for layer, old_hidden, old_cell, new_hidden, new_cell in zip(
            self._layers, state.hidden[:, 0], state.cell[:, 0], hidden[:, 0], cell[:, 0], strict=True
        ):
            before[:] = old_hidden
            np.dot(source, layer.matrix, out=gates)
            np.add(gates, layer.rows[row], out=gates)
            np.tanh(gates, out=gates)
            np.multiply(sigmoids, 0.5, out=sigmoids)
            np.add(sigmoids, 0.5, out=sigmoids)
            np.multiply(self._f, old_cell, out=new_cell)
            np.multiply(self._i, self._g, out=product)
            np.add(new_cell, product, out=new_cell)
            np.tanh(new_cell, out=product)
            np.multiply(self._o, product, out=new_hidden)
            self._below[:] = new_hidden
            source, row = self._input, 0
        return hidden[-1:], State(hidden, cell)


def _prepared(weights: Weights[Array], index: int) -> _Layer:
    bias = weights[f"lstm.{index}.bias"]
    unit = len(bias) // 4
    halves = np.repeat(np.array(_HALVES, bias.dtype), unit)[:, None]

    def inside(name: str) -> Array:
        """The array with its gates in inside order, sigmoids halved, transposed: ``(x, 4*unit)``."""
        array = weights[f"lstm.{index}.{name}"].reshape(4, unit, -1)[list(_INSIDE)]
        return np.ascontiguousarray((array.reshape(4 * unit, -1) * halves).T)

    if index == 0:
        return _Layer(inside("weight_hh"), inside("weight_ih") + inside("bias"))
    return _Layer(np.vstack([inside("weight_ih"), inside("weight_hh")]), inside("bias"))
