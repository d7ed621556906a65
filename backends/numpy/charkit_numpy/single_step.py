"""One symbol of each of several streams: what sampling does with many samples, in few and fast calls of NumPy.

As in ``single_symbol.py``, whose weights this takes, each layer is one product, of its input and its hidden output side
by side. NumPy works on whole arrays two to four times as fast as on parts of rows, or with one row for all: so the
sigmoids' ``0.5 * t + 0.5`` is computed for all four gates, as ``1 * t + 0`` for the candidate, and biases are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charkit.backend import State
from charkit_numpy.single_symbol import Layer
from charkit_numpy.tape import Array, Workspace

#: How many numbers of streams rows are repeated for: those of both halves of an odd number.
_KEPT = 2


class _Repeated(NamedTuple):
    """Rows that are the same for each stream, repeated: ``(streams, 4*unit)``."""

    factors: Array  # 1 for the candidate g, 0.5 for the sigmoids i, f, o
    terms: Array  # 0 and 0.5
    biases: list[Array]  # of each layer but the first


class SingleStep:
    """``(symbols (batch, 1), state) -> features (1, batch, unit), state`` for weights that stay as they are."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._repeated: dict[int, _Repeated] = {}

    def __call__(self, space: Workspace, symbols: Array, state: State[Array]) -> tuple[Array, State[Array]]:
        streams, (unit, width), dtype = len(symbols), self._layers[0].matrix.shape, state.hidden.dtype
        repeated = self._repeated.get(streams) or self._repeat(streams)
        hidden, cell = np.empty((2, *state.hidden.shape), dtype)
        inputs = space.array("step.inputs", (streams, 2 * unit), dtype)
        gates = space.array("step.gates", (streams, width), dtype)
        addend = space.array("step.rows", (streams, width), dtype)
        product = space.array("step.product", (streams, unit), dtype)
        below, before = inputs[:, :unit], inputs[:, unit:]
        g, i, f, o = (gates[:, start : start + unit] for start in range(0, width, unit))
        np.take(self._layers[0].rows, symbols[:, 0], axis=0, out=addend, mode="clip")
        source = state.hidden[0]
        for index, layer in enumerate(self._layers):
            if index:
                before[:] = state.hidden[index]
                source, addend = inputs, repeated.biases[index - 1]
            new_cell = cell[index]
            np.dot(source, layer.matrix, gates)
            np.add(gates, addend, gates)
            np.tanh(gates, gates)
            np.multiply(gates, repeated.factors, gates)
            np.add(gates, repeated.terms, gates)
            np.multiply(f, state.cell[index], new_cell)
            np.multiply(i, g, product)
            np.add(new_cell, product, new_cell)
            np.tanh(new_cell, product)
            np.multiply(o, product, hidden[index])
            below[:] = hidden[index]
        return hidden[-1:], State(hidden, cell)

    def _repeat(self, streams: int) -> _Repeated:
        unit, width = self._layers[0].matrix.shape
        is_candidate = np.arange(width) < unit
        rows = [np.where(is_candidate, 1.0, 0.5), np.where(is_candidate, 0.0, 0.5)]
        rows += [layer.rows[0] for layer in self._layers[1:]]
        factors, terms, *biases = (
            np.tile(row.astype(self._layers[0].matrix.dtype), (streams, 1)) for row in rows
        )
        made = _Repeated(factors, terms, biases)
        kept = self._repeated if len(self._repeated) < _KEPT else {}
        self._repeated = {**kept, streams: made}  # a new dictionary, as another thread may read the other one
        return made
