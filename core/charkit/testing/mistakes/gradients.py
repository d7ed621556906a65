"""The loss, and the way back from it."""

from __future__ import annotations

from math import log

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Cell, Floats, Ints, Oracle, Unrolled

_CARRY = "lstm.py: within a batch the gradient goes back through hidden and cell, symbol by symbol"
_RECURRENT = (
    "lstm.py: weight_hh is multiplied with the hidden output of the symbol before, the given state first"
)
_ROWS = "lstm.py: layer 0's weight_ih: a symbol's column is the sum over every place where it stands"
_MEAN = "differentiate(): the gradient is that of the mean over batch and time"


class _Bits(Oracle):
    def loss(self, logits: Floats, targets: Ints) -> Floats:
        return super().loss(logits, targets) / log(2.0)


class _SumOverAll(Wrapped):
    def count(self, symbols: Ints) -> int:
        return int(symbols.size)

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return {name: self.count(symbols) * array for name, array in gradients.items()}


class _SumOverTime(_SumOverAll):
    def count(self, symbols: Ints) -> int:
        return int(symbols.shape[1])


class _SumOverBatch(_SumOverAll):
    def count(self, symbols: Ints) -> int:
        return int(symbols.shape[0])


class _CarryCut(Oracle):
    def through_time(self, t: int, d_carried: Floats) -> Floats:
        return np.zeros_like(d_carried)


class _HiddenTooLate(Oracle):
    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        return d_z.T @ (cell.o * self.squashed(cell.c))


class _FirstHiddenLeftOut(Oracle):
    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        return super().recurrent_gradient(t, d_z, cell) * (t > 0)


class _RowsOverwritten(Wrapped):
    """Layer 0's weight_ih by symbol, where a symbol that comes again replaces what was there."""

    time_major = False

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        parts = np.stack(self._seen[::-1], axis=1)  # (batch, time, 4*unit)
        rows = gradients["lstm.0.weight_ih"]
        order = np.ndindex(*(symbols.shape[::-1] if self.time_major else symbols.shape))
        for index in order:
            n, t = index[::-1] if self.time_major else index
            rows[:, symbols[n, t]] = parts[n, t]
        return gradients

    def back(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        self._seen: list[Floats] = []  # d_z of layer 0, each (batch, 4*unit), from the last symbol on
        return super().back(weights, run, into_logits, factors)

    def input_gradient(self, layer: int, d_z: Floats, cell: Cell) -> Floats:
        if layer == 0:
            self._seen.append(d_z)
        return super().input_gradient(layer, d_z, cell)


class _RowsOverwrittenByTime(_RowsOverwritten):
    time_major = True


MISTAKES = (
    Mistake("bits where nats were asked", "loss.py: the natural logarithm", _Bits),
    Mistake("a gradient that stops at each symbol: the state is detached", _CARRY, _CarryCut),
    Mistake("a weight_hh gradient from the hidden output of the same symbol", _RECURRENT, _HiddenTooLate),
    Mistake("a weight_hh gradient that leaves out the first state", _RECURRENT, _FirstHiddenLeftOut),
    Mistake("a gather's gradient that overwrites instead of adding", _ROWS, _RowsOverwritten),
    Mistake("a gather's gradient that overwrites, time by time", _ROWS, _RowsOverwrittenByTime),
    Mistake("the gradient of the sum over batch and time", _MEAN, _SumOverAll),
    Mistake("the gradient of a sum over time", _MEAN, _SumOverTime),
    Mistake("the gradient of a sum over the batch", _MEAN, _SumOverBatch),
)
