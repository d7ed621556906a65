"""A layer's inputs as rows, which the gradient of its input weights is a product with."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from charkit_numpy.tape import Array, Tape

#: Up to this many symbols, layer 0's gradients are added up for all of them; beyond, for those that occur.
ONE_HOT_LIMIT = 512


def rows_of(array: Array) -> Array:
    """``(time, batch, x)`` as ``(time*batch, x)``, without a copy."""
    return array.reshape(-1, array.shape[-1])


def gradient_array(tape: Tape, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """The tape's array for the gradient of a weight."""
    tape.gradients[name] = tape.array(f"gradient.{name}", shape, dtype)
    return tape.gradients[name]


class FeatureRows:
    """A layer's inputs above layer 0, for the gradient of its input weights."""

    def __init__(self, inputs: Array) -> None:
        self._rows = rows_of(inputs)
        self.width = inputs.shape[-1]

    def product(self, deltas: Array, out: Array) -> None:
        """``deltas (time*batch, unit)`` transposed times the inputs, into ``out (unit, width)``."""
        np.matmul(deltas.T, self._rows, out=out)


class OneHotRows:
    """Layer 0's symbols ``(time, batch)`` as rows with a single 1, over all symbols or those that occur."""

    def __init__(
        self, tape: Tape, symbols: Array, vocabulary_size: int, dtype: np.dtype[np.floating]
    ) -> None:
        self.width = vocabulary_size
        positions = symbols.ravel()
        self._present: Array | None = None
        columns = vocabulary_size
        if vocabulary_size > ONE_HOT_LIMIT:
            self._present, positions = np.unique(positions, return_inverse=True)
            columns = len(self._present)
        self._rows = tape.array("one_hot", (len(positions), columns), dtype)
        self._rows[:] = 0
        self._rows[np.arange(len(positions)), positions] = 1

    def product(self, deltas: Array, out: Array) -> None:
        """Adds up ``deltas (time*batch, unit)`` by symbol, into ``out (unit, width)``."""
        if self._present is None:
            np.matmul(deltas.T, self._rows, out=out)
        else:
            out[:] = 0
            out[:, self._present] = np.matmul(deltas.T, self._rows)
