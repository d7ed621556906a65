"""The carried state."""

from __future__ import annotations

import numpy as np

from charkit.backend import State
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Floats

_LSTM_STATE = (
    "lstm.py: start from the given state and return the new one, "
    "both (layer, batch, unit), hidden before cell"
)


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
    """Read and returned from the last layer to the first."""


class _HiddenAndCellSwapped(Wrapped):
    def state_in(self, state: State[Floats]) -> State[Floats]:
        return State(state.cell, state.hidden)

    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return State(after.cell, after.hidden)


class _StateKept(Wrapped):
    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        return before


MISTAKES = (
    Mistake("a dropped state: every call starts from zero", _LSTM_STATE, _StateDropped),
    Mistake("a dropped state: the returned state is zero", _LSTM_STATE, _StateZeroedOut),
    Mistake("a state that is returned unchanged", _LSTM_STATE, _StateKept),
    Mistake("reversed layers of the state", _LSTM_STATE, _LayersReversed),
    Mistake("reversed layers of the given state", _LSTM_STATE, _LayersReversedIn),
    Mistake("reversed layers of the returned state", _LSTM_STATE, _LayersReversedOut),
    Mistake("swapped hidden and cell states", _LSTM_STATE, _HiddenAndCellSwapped),
)
