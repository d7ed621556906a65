"""Clipping by the global norm, then AdamW, in place."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from charkit.backend import Moments, Rates, Weights
from charkit.config import OptimizerConfig
from charkit.weights import decays
from charkit_numpy.tape import Array

#: Elements that one round of the update works on, so that its eight arrays' parts stay in the cache.
_CHUNK = 1 << 14


class NumpyOptimizer:
    """``(weights, moments, gradients, rates) -> weights, moments, global norm before clipping``."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        self._config = optimizer

    def __call__(
        self,
        weights: Weights[Array],
        moments: Moments[Array],
        gradients: Weights[Array],
        rates: Rates[Array],
    ) -> tuple[Weights[Array], Moments[Array], Array]:
        norm = sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values()))
        scale = min(1.0, self._config.clip_threshold / norm) if norm > 0 else 1.0
        # Allocated before anything is written: if memory runs out, nothing has changed.
        most = min(_CHUNK, max(weight.size for weight in weights.values()))
        scratch = np.empty((2, most), next(iter(weights.values())).dtype)
        for name, weight in weights.items():
            mean, square = moments.exp_avg[name].reshape(-1), moments.exp_avg_sq[name].reshape(-1)
            flat, gradient = weight.reshape(-1), gradients[name].reshape(-1)
            decay = rates.learning_rate * self._config.weight_decay if decays(name) else 0.0
            for start in range(0, weight.size, _CHUNK):
                part = slice(start, start + _CHUNK)
                self._update(
                    flat[part], mean[part], square[part], gradient[part], scratch, scale, rates, decay
                )
        return dict(weights), moments, np.asarray(norm)

    def _update(
        self,
        weight: Array,
        mean: Array,
        square: Array,
        gradient: Array,
        scratch: Array,
        scale: float,
        rates: Rates[Any],
        decay: Any,
    ) -> None:
        """Updates a part in place; ``scratch``, ``(2, elements)``, has room for its two intermediate results."""
        beta1, beta2 = self._config.beta1, self._config.beta2
        clipped, term = scratch[:, : weight.size]
        np.multiply(gradient, scale, out=clipped)
        mean *= beta1
        mean += np.multiply(clipped, 1.0 - beta1, out=term)
        square *= beta2
        clipped *= clipped
        clipped *= 1.0 - beta2
        square += clipped
        np.divide(square, rates.bias_correction2, out=clipped)
        np.sqrt(clipped, out=clipped)
        clipped += self._config.epsilon
        np.divide(mean, clipped, out=clipped)
        clipped *= rates.learning_rate / rates.bias_correction1
        if decay:
            clipped += np.multiply(weight, decay, out=term)
        weight -= clipped
