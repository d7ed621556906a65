"""Planted faults of the optimizer: clipping and Adam written plainly, each wrong in one place."""

from __future__ import annotations

from itertools import count
from math import sqrt
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.updates import MODEL
from charkit.weights import weight_shapes


class Adam:
    """Clipping and Adam written plainly, right as it stands; subclasses are wrong in one place."""

    def __init__(self, config: OptimizerConfig) -> None:
        self.config = config
        self.calls = count(1)

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        norm, beta1, beta2 = self.norm(gradients), self.config.beta1, self.config.beta2
        mean, square, after = {}, {}, {}
        for name, gradient in gradients.items():
            clipped = self.clip(gradient, norm)
            mean[name] = beta1 * moments.exp_avg[name] + self.share(beta1) * clipped
            square[name] = beta2 * moments.exp_avg_sq[name] + self.share(beta2) * clipped**2
            change = self.change(mean[name], square[name], rates).astype(gradient.dtype)
            after[name] = weights[name] - change * self.times(name)
        return after, Moments(mean, square), np.asarray(self.told(norm))

    def share(self, beta: float) -> float:
        return 1 - beta

    def norm(self, gradients: Any) -> float:
        return sqrt(sum(float(np.sum(gradient**2)) for gradient in gradients.values()))

    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient * (min(1.0, self.config.clip_threshold / norm) if norm > 0 else 1.0)

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        root = np.sqrt(square / rates.bias_correction2) + self.config.epsilon
        return rates.learning_rate * mean / rates.bias_correction1 / root

    def times(self, name: str) -> float:
        return 1.0

    def told(self, norm: float) -> float:
        return norm


class NotClipping(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient


class ClippingWithEpsilon(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient * min(1.0, self.config.clip_threshold / (norm + 1e-6))


class ClippingPerArray(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        return super().clip(gradient, float(np.linalg.norm(gradient)))


class AlwaysScaling(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient * (self.config.clip_threshold / norm)


class ZeroIsABound(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient * min(1.0, self.config.grad_clip / norm)


class TellingTheClippedNorm(Adam):
    def told(self, norm: float) -> float:
        return min(norm, self.config.clip_threshold)


class TensorFlowEpsilon(Adam):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        rate = rates.learning_rate * np.sqrt(rates.bias_correction2) / rates.bias_correction1
        return rate * mean / (np.sqrt(square) + self.config.epsilon)


class KerasEpsilon(TensorFlowEpsilon):
    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config.model_copy(update={"epsilon": 1e-7}))


class LargeEpsilon(Adam):
    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config.model_copy(update={"epsilon": 1e-7}))


class NotCorrecting(Adam):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return rates.learning_rate * mean / (np.sqrt(square) + self.config.epsilon)


class CountingItself(Adam):
    """Counts its steps itself, one count per array of the model, instead of using the corrections it is given."""

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        step = 1 + (next(self.calls) - 1) // len(weight_shapes(MODEL))
        own = (1 - self.config.beta1**step, 1 - self.config.beta2**step)
        return super().change(mean, square, rates._replace(bias_correction1=own[0], bias_correction2=own[1]))


class OwnLearningRate(Adam):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return super().change(mean, square, rates._replace(learning_rate=self.config.learning_rate))


class DividingByTheNorm(Adam):
    def clip(self, gradient: Any, norm: float) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return gradient * np.minimum(1.0, np.float64(norm) * self.config.clip_threshold / norm**2)


class MovingBiasesTwice(Adam):
    def times(self, name: str) -> float:
        return 2.0 if name.startswith("lstm") and name.endswith("bias") else 1.0


class WarmingUp(Adam):
    """Raises the learning rate over the first calls: a schedule of its own, lost when a run resumes."""

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return super().change(mean, square, rates) * min(1.0, next(self.calls) / 100)


class HidingNan(Adam):
    def norm(self, gradients: Any) -> float:
        return super().norm({name: np.nan_to_num(gradient) for name, gradient in gradients.items()})


class NotMoving(Adam):
    def times(self, name: str) -> float:
        return 0.0


class SameDictionary(Adam):
    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        after, moments, norm = super().__call__(weights, moments, gradients, rates)
        weights.update(after)
        return weights, moments, norm
