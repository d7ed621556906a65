"""Clipping and Adam."""

from __future__ import annotations

from math import sqrt

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle

_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm), no epsilon"
_ADAM = "optimizer.py: learning_rate * m_hat / (sqrt(v_hat) + epsilon), corrections and rate from Rates"


class _NotClipped(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        return gradients


class _AlwaysScaled(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        scale = self.optimizer.clip_threshold / norm if norm > 0 else 1.0
        return {name: gradient * scale for name, gradient in gradients.items()}


class _ClippedWithEpsilon(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        scale = min(1.0, self.optimizer.clip_threshold / (norm + 1e-6))
        return {name: gradient * scale for name, gradient in gradients.items()}


class _ClippedPerArray(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        clipped: Arrays = {}
        for name, gradient in gradients.items():
            clipped |= super().clipped({name: gradient}, self.norm({name: gradient}))
        return clipped


class _ClippedByValue(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        bound = self.optimizer.clip_threshold
        return {name: np.clip(gradient, -bound, bound) for name, gradient in gradients.items()}


class _ZeroClipsAll(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        if self.optimizer.grad_clip:
            return super().clipped(gradients, norm)
        return {name: 0.0 * gradient for name, gradient in gradients.items()}


class _NormAfterClipping(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        return after, moments, min(norm, self.optimizer.clip_threshold)


class _Adam(Oracle):
    """Adam with another epsilon, in another place, or without a bias correction."""

    epsilon: float | None = None
    inside_root = inside_correction = False
    corrects_mean = corrects_square = True

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        epsilon = self.optimizer.epsilon if self.epsilon is None else self.epsilon
        correction1 = 1.0 - self.optimizer.beta1**step if self.corrects_mean else 1.0
        correction2 = 1.0 - self.optimizer.beta2**step if self.corrects_square else 1.0
        if self.inside_correction:
            rate = learning_rate * sqrt(correction2) / correction1
            return np.asarray(rate * exp_avg / (np.sqrt(exp_avg_sq) + epsilon))
        square = exp_avg_sq / correction2
        root = np.sqrt(square + epsilon) if self.inside_root else np.sqrt(square) + epsilon
        return np.asarray(learning_rate * exp_avg / correction1 / root)


class _EpsilonInCorrection(_Adam):
    inside_correction = True


class _KerasEpsilon(_EpsilonInCorrection):
    epsilon = 1e-7


class _LargeEpsilon(_Adam):
    epsilon = 1e-7


class _EpsilonInRoot(_Adam):
    inside_root = True


class _NoEpsilon(_Adam):
    epsilon = 0.0


class _NoCorrections(_Adam):
    corrects_mean = corrects_square = False


class _NoFirstCorrection(_Adam):
    corrects_mean = False


class _NoSecondCorrection(_Adam):
    corrects_square = False


class _OwnStepCount(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, learning_rate, 1)


class _OwnLearningRate(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, self.optimizer.learning_rate, step)


class _PlainDescent(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return learning_rate * exp_avg / (1.0 - self.optimizer.beta1**step)


MISTAKES = (
    Mistake("a missing clip", _CLIP, _NotClipped),
    Mistake("a clip that also enlarges small gradients", _CLIP, _AlwaysScaled),
    Mistake("a clip with an epsilon of 1e-6 (clip_grad_norm_'s)", _CLIP, _ClippedWithEpsilon),
    Mistake("a clip per array instead of by the global norm", _CLIP, _ClippedPerArray),
    Mistake("a clip of each element instead of by the global norm", _CLIP, _ClippedByValue),
    Mistake("grad_clip 0 read as a bound of zero; it means off", _CLIP, _ZeroClipsAll),
    Mistake("the norm after clipping", _CLIP, _NormAfterClipping),
    Mistake("Adam's epsilon inside the bias correction (TF1's form)", _ADAM, _EpsilonInCorrection),
    Mistake("Adam's epsilon inside the bias correction, and 1e-7 (Keras')", _ADAM, _KerasEpsilon),
    Mistake("Adam's epsilon of 1e-7", _ADAM, _LargeEpsilon),
    Mistake("Adam's epsilon under the root", _ADAM, _EpsilonInRoot),
    Mistake("Adam without its epsilon", _ADAM, _NoEpsilon),
    Mistake("missing bias corrections", _ADAM, _NoCorrections),
    Mistake("a missing bias correction of the first moment", _ADAM, _NoFirstCorrection),
    Mistake("a missing bias correction of the second moment", _ADAM, _NoSecondCorrection),
    Mistake("bias corrections from a step count of the optimiser's own", _ADAM, _OwnStepCount),
    Mistake("the configuration's learning rate instead of the step's", _ADAM, _OwnLearningRate),
    Mistake("plain gradient descent: the second moment is not used", _ADAM, _PlainDescent),
)
