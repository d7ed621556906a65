"""The backward pass: through time, through the weights, and from which loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charkit.testing.mistakes.mistake import Family, Mistake, Observed
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Cell, Floats, Ints, Oracle, Unrolled

_THROUGH_TIME = (
    "lstm.py, or differentiate() in backend.py: within a batch, the gradient flows back through hidden and cell, "
    "over all time steps"
)
_RECURRENT = (
    "lstm.py, backward pass: the gradient of weight_hh uses the hidden state of the previous time step, starting "
    "with the given state"
)
_ROWS = "lstm.py: the gradient of layer 0's weight_ih: a symbol's column is the sum over all its positions"
_MEAN = "backend.py: differentiate() gives the gradient of the mean over batch and time"


class _SumOverAll(Wrapped):
    """All gradients times a factor, that of another sum or mean than the one over batch and time."""

    def factor(self, symbols: Ints) -> float:
        return float(symbols.size)

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return {name: self.factor(symbols) * array for name, array in gradients.items()}


class _SumOverTime(_SumOverAll):
    def factor(self, symbols: Ints) -> float:
        return float(symbols.shape[1])


class _SumOverBatch(_SumOverAll):
    def factor(self, symbols: Ints) -> float:
        return float(symbols.shape[0])


class _OneStepLess(_SumOverAll):
    def factor(self, symbols: Ints) -> float:
        steps = int(symbols.shape[1])
        return steps / max(steps - 1, 1)


class _OneSequenceLess(_SumOverAll):
    def factor(self, symbols: Ints) -> float:
        sequences = int(symbols.shape[0])
        return sequences / max(sequences - 1, 1)


class _WrongSign(_SumOverAll):
    def factor(self, symbols: Ints) -> float:
        return -1.0


# ---- through time --------------------------------------------------------------------------------------------


class _CarryCut(Oracle):
    def through_time(self, t: int, d_hidden: Floats, d_cell: Floats) -> tuple[Floats, Floats]:
        return np.zeros_like(d_hidden), np.zeros_like(d_cell)


class _HiddenCut(Oracle):
    def through_time(self, t: int, d_hidden: Floats, d_cell: Floats) -> tuple[Floats, Floats]:
        return np.zeros_like(d_hidden), d_cell


class _CellCut(Oracle):
    def through_time(self, t: int, d_hidden: Floats, d_cell: Floats) -> tuple[Floats, Floats]:
        return d_hidden, np.zeros_like(d_cell)


class _Truncated(Oracle):
    """No gradient crosses the borders of blocks of ``every`` symbols, counted from the first."""

    every = 1

    def backward(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        self._offset = self.offset(len(run.cells))
        return super().backward(weights, run, into_logits, factors)

    def offset(self, steps: int) -> int:
        """Where the first block begins, in symbols."""
        return 0

    def through_time(self, t: int, d_hidden: Floats, d_cell: Floats) -> tuple[Floats, Floats]:
        kept = float((t - self._offset) % self.every != 0)
        return kept * d_hidden, kept * d_cell


class _TruncatedFromEnd(_Truncated):
    """Blocks counted from the last symbol: the first may be shorter."""

    def offset(self, steps: int) -> int:
        return steps % self.every


def truncated(every: float) -> type[Oracle]:
    """The oracle whose gradient stops every so many symbols, counted from the first."""
    return type("Truncated", (_Truncated,), {"every": int(every)})


def _truncated_from_end(every: float) -> type[Oracle]:
    return type("TruncatedFromEnd", (_TruncatedFromEnd,), {"every": int(every)})


def _lengths(observed: Observed) -> Sequence[float]:
    return range(2, 129)


# ---- through the weights -------------------------------------------------------------------------------------


class _HiddenOfSameSymbol(Oracle):
    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        return d_z.T @ (cell.o * self.squashed(cell.c))


class _FirstHiddenLeftOut(Oracle):
    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        return super().recurrent_gradient(t, d_z, cell) * (t > 0)


class _RowsOverwritten(Wrapped):
    """Layer 0's weight_ih by symbol, where a repeated symbol replaces the earlier gradient."""

    time_major = False

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        parts = np.stack(self._deltas[::-1], axis=1)  # (batch, time, 4*unit)
        rows = gradients["lstm.0.weight_ih"]
        order = np.ndindex(*(symbols.shape[::-1] if self.time_major else symbols.shape))
        for index in order:
            n, t = index[::-1] if self.time_major else index
            rows[:, symbols[n, t]] = parts[n, t]
        return gradients

    def backward(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        self._deltas: list[Floats] = []  # d_z of layer 0, each (batch, 4*unit), from the last symbol on
        return super().backward(weights, run, into_logits, factors)

    def input_gradient(self, layer: int, d_z: Floats, cell: Cell) -> Floats:
        if layer == 0:
            self._deltas.append(d_z)
        return super().input_gradient(layer, d_z, cell)


class _RowsOverwrittenByTime(_RowsOverwritten):
    time_major = True


MISTAKES = (
    Mistake("a gradient that stops at each symbol: the state is detached", _THROUGH_TIME, _CarryCut),
    Mistake("a gradient that does not flow through the hidden state", _THROUGH_TIME, _HiddenCut),
    Mistake("a gradient that does not flow through the cell state", _THROUGH_TIME, _CellCut),
    Mistake(
        "a weight_hh gradient from the hidden state of the same time step", _RECURRENT, _HiddenOfSameSymbol
    ),
    Mistake("a weight_hh gradient that leaves out the initial state", _RECURRENT, _FirstHiddenLeftOut),
    Mistake("a gather's gradient that overwrites instead of adding", _ROWS, _RowsOverwritten),
    Mistake("a gather's gradient that overwrites, time step by time step", _ROWS, _RowsOverwrittenByTime),
    Mistake("the gradient of the sum over batch and time", _MEAN, _SumOverAll),
    Mistake("the gradient of a sum over time", _MEAN, _SumOverTime),
    Mistake("the gradient of a sum over the batch", _MEAN, _SumOverBatch),
    Mistake("the gradient of a mean that counts one time step too few", _MEAN, _OneStepLess),
    Mistake("the gradient of a mean that counts one sequence too few", _MEAN, _OneSequenceLess),
    Mistake("a gradient with the wrong sign", _MEAN, _WrongSign),
)
FAMILIES = (
    Family("truncated backpropagation (every {value} symbols)", _THROUGH_TIME, truncated, _lengths),
    Family("truncated backpropagation (every {value} symbols)", _THROUGH_TIME, _truncated_from_end, _lengths),
)
