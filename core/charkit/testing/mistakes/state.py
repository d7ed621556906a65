"""The state that is carried, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Floats, Oracle, Unrolled

_LSTM_STATE = "lstm.py: the state that is handed in, (layer, batch, unit), hidden before cell"
_LSTM_DROPOUT = "lstm.py: every layer's output is h * mask / (1 - dropout); the carried h is not masked"


def _zeros(state: State[Floats]) -> State[Floats]:
    return State(np.zeros_like(state.hidden), np.zeros_like(state.cell))


def _reversed(state: State[Floats]) -> State[Floats]:
    return State(state.hidden[::-1], state.cell[::-1])


class _StateDropped(Wrapped):
    def state_in(self, state: State[Floats]) -> State[Floats]:
        return _zeros(state)


class _StateZeroedOut(Wrapped):
    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return _zeros(after)


class _LayersReversedIn(Wrapped):
    def state_in(self, state: State[Floats]) -> State[Floats]:
        return _reversed(state)


class _LayersReversedOut(Wrapped):
    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return _reversed(after)


class _LayersReversed(_LayersReversedIn, _LayersReversedOut):
    """Read and handed back from the last layer to the first."""


class _HiddenAndCellSwapped(Wrapped):
    def state_in(self, state: State[Floats]) -> State[Floats]:
        return State(state.cell, state.hidden)

    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return State(after.cell, after.hidden)


class _StateKept(Wrapped):
    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return before


class _CarriedStateMasked(Oracle):
    def carried(self, hidden: Floats, factor: Floats) -> Floats:
        return hidden * factor


class _LastLayerNotDropped(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        factors[-1] = 1.0
        return factors


class _NotScaled(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        return factors if masks is None else np.asarray(masks, np.float64)


class _MasksIgnored(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None, shape)


class _MasksInverted(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None if masks is None else ~masks, shape)


class _MasksForwardOnly(Oracle):
    def back(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        return super().back(weights, run, into_logits, np.ones_like(factors))


MISTAKES = (
    Mistake("a dropped state: every call starts from zero", _LSTM_STATE, _StateDropped),
    Mistake("a dropped state: the state that comes out is zero", _LSTM_STATE, _StateZeroedOut),
    Mistake("a state that comes out as it went in", _LSTM_STATE, _StateKept),
    Mistake("swapped layers of the state", _LSTM_STATE, _LayersReversed),
    Mistake("swapped layers of the state that goes in", _LSTM_STATE, _LayersReversedIn),
    Mistake("swapped layers of the state that comes out", _LSTM_STATE, _LayersReversedOut),
    Mistake("hidden and cell swapped", _LSTM_STATE, _HiddenAndCellSwapped),
    Mistake("dropout on the carried state", _LSTM_DROPOUT, _CarriedStateMasked),
    Mistake("no dropout on the last layer (torch.nn.LSTM's)", _LSTM_DROPOUT, _LastLayerNotDropped),
    Mistake("a missing dropout scale 1 / (1 - dropout)", _LSTM_DROPOUT, _NotScaled),
    Mistake("masks that are ignored", _LSTM_DROPOUT, _MasksIgnored),
    Mistake("inverted masks: true must keep", _LSTM_DROPOUT, _MasksInverted),
    Mistake("masks that are not on the way back", _LSTM_DROPOUT, _MasksForwardOnly),
)
