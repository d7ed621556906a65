"""A bias of the LSTM too many, or too few."""

from __future__ import annotations

from math import sqrt

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle

_LSTM_BIAS = "lstm.py: b is one vector; keep a framework's second bias frozen at zero"
_INCLUDED = "lstm.py: z = W_ih x + W_hh h + b, including the bias"
_FORGET_BIAS = "lstm.py: add b as it is; it already includes any forget bias"


def _is_lstm_bias(name: str) -> bool:
    return name.startswith("lstm.") and name.endswith(".bias")


class _ForgetBias(Wrapped):
    def weights_in(self, weights: Arrays) -> Arrays:
        added = np.repeat([0.0, 1.0, 0.0, 0.0], self.model.lstm_size)
        return {name: array + added if _is_lstm_bias(name) else array for name, array in weights.items()}


class _BiasTwice(Wrapped):
    def weights_in(self, weights: Arrays) -> Arrays:
        return {name: 2.0 * array if _is_lstm_bias(name) else array for name, array in weights.items()}


class _NoBias(Wrapped):
    def weights_in(self, weights: Arrays) -> Arrays:
        return {name: 0.0 * array if _is_lstm_bias(name) else array for name, array in weights.items()}


class _NoBiasNorGradient(_NoBias):
    """Without the bias in the computation its gradient is zero too."""

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return self.weights_in(gradients)


class _BiasGradientTwice(Wrapped):
    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return {name: 2.0 * array if _is_lstm_bias(name) else array for name, array in gradients.items()}


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
    Mistake("a doubled bias: it is added twice in the forward pass", _LSTM_BIAS, _BiasTwiceThroughout),
    Mistake("a doubled bias: its gradient is doubled", _LSTM_BIAS, _BiasGradientTwice),
    Mistake("a doubled bias: a second trainable bias doubles its updates", _LSTM_BIAS, _BiasMovedTwice),
    Mistake(
        "a doubled bias: a second trainable bias also counts toward the norm", _LSTM_BIAS, _BiasInNormTwice
    ),
    Mistake("a missing LSTM bias", _INCLUDED, _NoBias),
    Mistake("a missing LSTM bias", _INCLUDED, _NoBiasNorGradient),
    Mistake("a forget bias of 1 added at run time (as in TF1)", _FORGET_BIAS, _ForgetBias),
)
