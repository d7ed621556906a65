"""The projection onto the vocabulary, and symbols in a dtype that is too small."""

from __future__ import annotations

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Floats, Ints

_BIAS = "output.py: logits = W_out output + b_out, including the bias"
_WEIGHT = "output.py: weight is (vocabulary, unit), and so is its gradient"
_ORDER = "output.py: one time step's logits hold batch * vocabulary numbers, with those of each sequence contiguous"
_TYPE = "backend.py: tensor() keeps int32; lstm.py and loss.py: symbols and targets are not narrowed"


class _NoBias(Wrapped):
    def weights_in(self, weights: Arrays) -> Arrays:
        return weights | {"output.bias": np.zeros_like(weights["output.bias"])}


class _NoBiasNorGradient(_NoBias):
    """Without the bias in the computation its gradient is zero too."""

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return gradients | {"output.bias": np.zeros_like(gradients["output.bias"])}


class _WeightTransposed(Wrapped):
    """Where the LSTM has as many units as there are symbols: a matrix that fits both ways."""

    def weights_in(self, weights: Arrays) -> Arrays:
        return self._transposed(weights)

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return self._transposed(gradients)

    def _transposed(self, arrays: Arrays) -> Arrays:
        weight = arrays["output.weight"]
        return arrays | {"output.weight": weight.T if weight.shape == weight.T.shape else weight}


class _GradientTransposed(_WeightTransposed):
    def weights_in(self, weights: Arrays) -> Arrays:
        return weights


class _VocabularyFirst(Wrapped):
    def logits_out(self, logits: Floats) -> Floats:
        batch, time, vocabulary = logits.shape
        flat = logits.transpose(1, 2, 0).reshape(time, batch, vocabulary)  # (time, vocabulary, batch) misread
        return flat.transpose(1, 0, 2)


class _SymbolsNarrowed(Wrapped):
    def symbols_in(self, symbols: Ints) -> Ints:
        return symbols % 256


class _TargetsNarrowed(Wrapped):
    def targets_in(self, targets: Ints, symbols: Ints) -> Ints:
        return targets % 256


class _BothNarrowed(_SymbolsNarrowed, _TargetsNarrowed):
    """Symbols and targets as uint8."""


MISTAKES = (
    Mistake("a missing output bias", _BIAS, _NoBias),
    Mistake("a missing output bias", _BIAS, _NoBiasNorGradient),
    Mistake("a transposed output weight", _WEIGHT, _WeightTransposed),
    Mistake("a transposed gradient of the output weight", _WEIGHT, _GradientTransposed),
    Mistake("logits with the vocabulary axis before the batch axis", _ORDER, _VocabularyFirst),
    Mistake("symbols taken modulo 256, as in uint8", _TYPE, _SymbolsNarrowed),
    Mistake("targets taken modulo 256, as in uint8", _TYPE, _TargetsNarrowed),
    Mistake("symbols and targets taken modulo 256, as in uint8", _TYPE, _BothNarrowed),
)
