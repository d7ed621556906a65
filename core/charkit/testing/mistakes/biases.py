"""A bias too many."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle, Result

_LSTM_BIAS = "lstm.py: b is one vector; keep a framework's second bias at zero and frozen"


def _is_lstm_bias(name: str) -> bool:
    return name.startswith("lstm.") and name.endswith(".bias")


class _BiasAdded(Oracle):
    """The forward pass with something added to the LSTM's biases."""

    def added(self, bias: Floats) -> Floats:
        """What this mistake adds to one layer's bias, ``(4*unit,)``; each mistake below says it."""
        raise NotImplementedError(f"{type(self).__name__} must say what it adds")

    def with_added(self, weights: Arrays) -> Arrays:
        return {
            name: array + self.added(array) if _is_lstm_bias(name) else array
            for name, array in weights.items()
        }

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        return super().forward(self.with_added(weights), symbols, state, masks)

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        return super().gradients(self.with_added(weights), symbols, targets, state, masks)


class _ForgetBias(_BiasAdded):
    def added(self, bias: Floats) -> Floats:
        return np.repeat([0.0, 1.0, 0.0, 0.0], len(bias) // 4)


class _BiasTwice(_BiasAdded):
    def added(self, bias: Floats) -> Floats:
        return bias


class _BiasGradientTwice(Oracle):
    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        right = super().gradients(weights, symbols, targets, state, masks)
        return {name: 2.0 * array if _is_lstm_bias(name) else array for name, array in right.items()}


class _BiasTwiceThroughout(_BiasGradientTwice, _BiasTwice):
    """The bias added twice, and so its gradient doubled."""


class _BiasMovedTwice(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        for name in filter(_is_lstm_bias, weights):
            after[name] = weights[name] + 2.0 * (after[name] - weights[name])
        return after, moments, norm


class _BiasInNormTwice(_BiasMovedTwice):
    def norm(self, gradients: Arrays) -> float:
        biases = {name: gradients[name] for name in filter(_is_lstm_bias, gradients)}
        return sqrt(super().norm(gradients) ** 2 + super().norm(biases) ** 2)


MISTAKES = (
    Mistake("a doubled bias: it is added twice in the forward pass", _LSTM_BIAS, _BiasTwice),
    Mistake("a doubled bias: added twice, and its gradient doubled", _LSTM_BIAS, _BiasTwiceThroughout),
    Mistake("a doubled bias: its gradient is doubled", _LSTM_BIAS, _BiasGradientTwice),
    Mistake("a doubled bias: a second trainable bias moves it twice", _LSTM_BIAS, _BiasMovedTwice),
    Mistake("a doubled bias: a second trainable bias, also in the norm", _LSTM_BIAS, _BiasInNormTwice),
    Mistake("a forget bias of 1 added at run time (TF1's)", _LSTM_BIAS, _ForgetBias),
)
