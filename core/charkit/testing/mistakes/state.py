"""The state that is carried, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle, Result, Sequence

_LSTM_STATE = "lstm.py: the state that is handed in, (layer, batch, unit), hidden before cell"
_LSTM_DROPOUT = "lstm.py: every layer's output is h * mask / (1 - dropout); the carried h is not masked"


class _OtherState(Oracle):
    """The forward pass with the state changed on its way in and on its way out."""

    def before(self, state: State[Floats]) -> State[Floats]:
        return state

    def after(self, state: State[Floats]) -> State[Floats]:
        return state

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        result = super().forward(weights, symbols, self.before(state), masks)
        return Result(result.logits, self.after(result.state))

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        return super().gradients(weights, symbols, targets, self.before(state), masks)


class _StateDropped(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(np.zeros_like(state.hidden), np.zeros_like(state.cell))


class _StateZeroedOut(_StateDropped):
    def before(self, state: State[Floats]) -> State[Floats]:
        return state

    def after(self, state: State[Floats]) -> State[Floats]:
        return super().before(state)


class _LayersReversed(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(state.hidden[::-1], state.cell[::-1])

    after = before


class _LayersReversedIn(_LayersReversed):
    def after(self, state: State[Floats]) -> State[Floats]:
        return state


class _LayersReversedOut(_LayersReversed):
    def before(self, state: State[Floats]) -> State[Floats]:
        return state


class _HiddenAndCellSwapped(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(state.cell, state.hidden)

    after = before


class _StateKept(Oracle):
    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        return Result(super().forward(weights, symbols, state, masks).logits, state)


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
    def back(
        self, weights: Arrays, gradients: Arrays, run: Sequence, into_logits: Floats, factors: Floats
    ) -> None:
        super().back(weights, gradients, run, into_logits, np.ones_like(factors))


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
