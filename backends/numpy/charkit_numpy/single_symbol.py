"""One stream, one symbol: what sampling does, in as few calls of NumPy as possible.

Each layer is one product of a matrix with a vector: its input and its hidden output side by side. As in ``lstm.py`` the
gates lie in the order g, i, f, o, and the sigmoids' inner 0.5 is multiplied into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charkit.backend import State, Weights
from charkit_numpy.tape import Array

#: The gates g, i, f, o of the inside, as positions in the canonical order i, f, g, o.
_INSIDE = (2, 0, 1, 3)
_HALVES = (1.0, 0.5, 0.5, 0.5)


class Layer(NamedTuple):
    """One layer's weights; those of layer 0's input are rows by symbol, with the bias added in."""

    matrix: Array  # (unit, 4*unit) for layer 0, else (2*unit, 4*unit): input, then hidden
    rows: Array  # (symbol, 4*unit) for layer 0, else (1, 4*unit): the bias


class SingleSymbol:
    """``(symbol, state) -> features (1, 1, unit), state`` for weights that stay as they are.

    It works in arrays of its own, so one thread at a time may call it; what it returns is fresh.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        unit, dtype = len(self._layers[0].matrix), self._layers[0].matrix.dtype
        self._input = np.empty(2 * unit, dtype)
        self._below, self._before = self._input[:unit], self._input[unit:]
        self._gates = np.empty(4 * unit, dtype)
        self._sigmoids = self._gates[unit:]
        self._g, self._i, self._f, self._o = self._gates.reshape(4, unit)
        self._product = np.empty(unit, dtype)
        self._half = np.full(3 * unit, 0.5, dtype)  # NumPy takes longer to convert a number

    def __call__(self, symbol: int, state: State[Array]) -> tuple[Array, State[Array]]:
        hidden, cell = np.empty((2, *state.hidden.shape), state.hidden.dtype)
        dot, add, multiply, tanh = np.dot, np.add, np.multiply, np.tanh
        gates, sigmoids, half, product = self._gates, self._sigmoids, self._half, self._product
        below, before = self._below, self._before
        source, row = before, symbol
        for index, layer in enumerate(self._layers):
            before[:] = state.hidden[index, 0]
            new_cell = cell[index, 0]
            dot(source, layer.matrix, gates)
            add(gates, layer.rows[row], gates)
            tanh(gates, gates)
            multiply(sigmoids, half, sigmoids)
            add(sigmoids, half, sigmoids)
            multiply(self._f, state.cell[index, 0], new_cell)
            multiply(self._i, self._g, product)
            add(new_cell, product, new_cell)
            tanh(new_cell, product)
            multiply(self._o, product, below)
            hidden[index, 0] = below
            source, row = self._input, 0
        return hidden[-1:], State(hidden, cell)


def layer_of(weights: Weights[Array], index: int) -> Layer:
    """The prepared weights of a layer."""
    bias = weights[f"lstm.{index}.bias"]
    unit = len(bias) // 4
    halves = np.repeat(np.array(_HALVES, bias.dtype), unit)[:, None]

    def inside(name: str) -> Array:
        """The array with its gates in inside order, sigmoids halved, transposed: ``(x, 4*unit)``."""
        array = weights[f"lstm.{index}.{name}"].reshape(4, unit, -1)[list(_INSIDE)]
        return np.ascontiguousarray((array.reshape(4 * unit, -1) * halves).T)

    if index == 0:
        return Layer(inside("weight_hh"), inside("weight_ih") + inside("bias"))
    return Layer(np.vstack([inside("weight_ih"), inside("weight_hh")]), inside("bias"))
