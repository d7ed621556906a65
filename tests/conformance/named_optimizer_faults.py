"""Planted faults of the optimizer that must be named, written without the kit's own list."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from conformance.optimizer_faults import Adam


class Clipping(Adam):
    """Clipping and Adam with the gradient before clipping at hand; right as it stands."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        self.weights = weights
        total = self.norm(gradients)
        after, mean, square = {}, {}, {}
        for name, raw in gradients.items():
            clipped = self.clip(raw, total)
            mean[name] = self.first(moments.exp_avg[name], clipped, raw)
            square[name] = self.second(moments.exp_avg_sq[name], clipped, raw)
            used = self.used(name, mean[name], square[name], clipped, rates)
            after[name] = weights[name] - self.change(*used, rates).astype(raw.dtype)
        return self.finish(weights, after, total), Moments(mean, square), np.asarray(total)

    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + (1 - self.config.beta1) * clipped

    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta2 * before + (1 - self.config.beta2) * clipped**2

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return mean, square

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        return after


class ScalingTheChange(Clipping):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        scale = min(1.0, self.config.clip_threshold / norm)
        return {name: weights[name] + scale * (after[name] - weights[name]) for name in after}


class ClippingTheChange(ScalingTheChange):
    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        length = sqrt(sum(float(np.sum((after[name] - weights[name]) ** 2)) for name in after))
        return super().finish(weights, after, length)


class OneAndTwo(Clipping):
    """2 - beta2 for 1 - beta2: from a moment of zero the same as another beta2."""

    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta2 * before + (2 - self.config.beta2) * clipped**2


class FactorOfTheOther(Clipping):
    """1 - beta2 for 1 - beta1: from a moment of zero the same as beta2 for both."""

    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + (1 - self.config.beta2) * clipped


class CorrectionOfTheOther(Clipping):
    """The first moment divided by the correction of the second: with the right moments, no wrong beta."""

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return super().change(mean, square, rates._replace(bias_correction1=rates.bias_correction2))


class HalfOfTheGradient(Clipping):
    """Half the first moment, kept as it should be: at the first step the same as half the learning rate."""

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return mean - 0.5 * (1 - self.config.beta1) * clipped, square


class SecondOfRaw(Clipping):
    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return super().second(before, raw, raw)


class FirstOfRaw(Clipping):
    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return super().first(before, raw, raw)


class Lookahead(Clipping):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return super().first(mean, clipped, clipped), square


class LookaheadOfOptax(Clipping):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        beta = self.config.beta1
        here = float(rates.bias_correction1)
        there = 1 - (1 - here) * beta
        ahead = beta * mean / there + (1 - beta) * clipped / here
        return ahead * here, square


class NeverForgetting(Clipping):
    """The denominator never falls."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config)
        self.top: dict[str, Any] = {}

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        self.top[name] = square if name not in self.top else np.maximum(self.top[name], square)
        return mean, self.top[name]


class NeverForgettingCorrected(NeverForgetting):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        correction = float(rates.bias_correction2)
        mean, top = super().used(name, mean, square / correction, clipped, rates)
        return mean, top * correction


class NeverForgettingInPlace(Clipping):
    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return np.maximum(before, super().second(before, clipped, raw))


class Decaying(Clipping):
    strength = 0.01

    def decayed(self, name: str) -> bool:
        return True

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        return {
            name: array - self.rate * self.strength * weights[name] if self.decayed(name) else array
            for name, array in after.items()
        }

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        self.rate = float(rates.learning_rate)
        return super().change(mean, square, rates)


class DecayingMatrices(Decaying):
    strength = 0.1

    def decayed(self, name: str) -> bool:
        return "bias" not in name


class PullingGradients(Clipping):
    """The gradient of half the squared weights is added before anything else."""

    strength = 1e-5

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        pulled = {name: gradient + self.strength * weights[name] for name, gradient in gradients.items()}
        return super().__call__(weights, moments, pulled, rates)


class OtherConfig(Clipping):
    """Reads some settings from elsewhere than the configuration."""

    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {}

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config.model_copy(update=self.elsewhere(config)))


class DefaultBeta1(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta1": 0.9}


class DefaultBeta2(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta2": 0.999}


class DefaultEpsilon(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"epsilon": 1e-8}


class SwappedBetas(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta1": config.beta2, "beta2": config.beta1}


class OneBeta(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta2": config.beta1}


class NarrowConstants(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        names = ("beta1", "beta2", "epsilon", "grad_clip")
        return {name: float(np.float32(getattr(config, name))) for name in names}


class OwnCorrection(DefaultBeta2):
    """The betas of its own are in the bias correction too, at whatever step the configuration's are."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config)
        self.given = config

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        step = np.log(1 - rates.bias_correction2) / np.log(self.given.beta2)
        own = rates._replace(bias_correction2=1 - self.config.beta2**step)
        return super().__call__(weights, moments, gradients, own)


class TwiceAsFast(Clipping):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return 2 * super().change(mean, square, rates)


class Climbing(Clipping):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return -super().change(mean, square, rates)


class SwappingMoments(Clipping):
    """Returns the second moment first, and takes them so."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        after, new, norm = super().__call__(
            weights, Moments(moments.exp_avg_sq, moments.exp_avg), gradients, rates
        )
        return after, Moments(new.exp_avg_sq, new.exp_avg), norm


class SumOfGradients(Clipping):
    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + clipped
