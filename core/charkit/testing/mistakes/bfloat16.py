"""bfloat16 where float32 belongs: the optimizer's numbers and arrays, which bfloat16 leaves in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle

_RATES = "backend.py: in bfloat16, tensor() keeps floating-point numbers, including Rates, in float32"
_ARRAYS = "optimizer.py: in bfloat16, weights and moments stay float32 arrays; only operands of products are rounded"
_KEPT_BITS, _HALF = np.uint32(0xFFFF0000), np.uint32(0x7FFF)


def rounded(array: Any) -> Floats:
    """The nearest numbers of eight significant bits, ties to even."""
    bits = np.atleast_1d(np.asarray(array, np.float32)).view(np.uint32)
    kept = (bits + _HALF + ((bits >> np.uint32(16)) & np.uint32(1))) & _KEPT_BITS
    return kept.view(np.float32).astype(np.float64).reshape(np.shape(array))


def _all_rounded(arrays: Arrays) -> Arrays:
    return {name: rounded(array) for name, array in arrays.items()}


class _Rates(Oracle):
    """The learning rate and the bias corrections are rounded."""

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, float(rounded(learning_rate)), step)

    def corrections(self, step: int) -> tuple[float, float]:
        correction1, correction2 = super().corrections(step)
        return float(rounded(correction1)), float(rounded(correction2))


class _Weights(Oracle):
    """The new weights are rounded."""

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        return _all_rounded(after), moments, norm


MISTAKES = (
    Mistake("rates rounded to bfloat16", _RATES, _Rates),
    Mistake("weights rounded to bfloat16 after the update", _ARRAYS, _Weights),
)
