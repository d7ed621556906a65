"""Weight decay: in the gradient, at another rate, of other arrays, or not at all."""

from __future__ import annotations

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle

_DECAY = (
    "optimizer.py: decay is learning_rate * weight_decay * w, separate from gradients, clipping and moments"
)
_WHICH = "optimizer.py: charkit.weights.decays determines which arrays decay"
#: The default of ``torch.optim.AdamW``.
_DEFAULT_OF_PYTORCH = 0.01


class _InGradient(Oracle):
    """L2: the decay becomes a part of the gradient, before or after it is clipped."""

    clips_decay = biases_too = False

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        factor = self.optimizer.weight_decay
        decays = {
            name: factor * weight if self.biases_too else self.decay(name, weight, 1.0)
            for name, weight in weights.items()
        }
        if self.clips_decay:
            gradients = {name: gradient + decays[name] for name, gradient in gradients.items()}
        norm = self.norm(gradients)
        clipped = self.clipped(gradients, norm)
        if not self.clips_decay:
            clipped = {name: gradient + decays[name] for name, gradient in clipped.items()}
        alone = self.optimizer.model_copy(update={"grad_clip": 0.0, "weight_decay": 0.0})
        after, moments, _ = Oracle(self.model, alone).update(weights, moments, clipped, learning_rate, step)
        return after, moments, norm


class _InGradientBeforeClipping(_InGradient):
    clips_decay = True


class _AllInGradient(_InGradient):
    biases_too = True


class _AllInGradientBeforeClipping(_InGradientBeforeClipping):
    biases_too = True


class _NotTimesRate(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return super().decay(name, weight, 1.0)


class _OwnRate(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return super().decay(name, weight, self.optimizer.learning_rate)


class _CorrectedRate(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        more = learning_rate / (1.0 - self.optimizer.beta1**step) - learning_rate
        return {name: after[name] - self.decay(name, weights[name], more) for name in after}, moments, norm


class _AfterStep(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        alone = Oracle(self.model, self.optimizer.model_copy(update={"weight_decay": 0.0}))
        after, moments, norm = alone.update(weights, moments, gradients, learning_rate, step)
        return (
            {name: after[name] - self.decay(name, after[name], learning_rate) for name in after},
            moments,
            norm,
        )


class _BiasesToo(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return np.asarray(learning_rate * self.optimizer.weight_decay * weight)


class _NotOfFirstInputs(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return super().decay(name, weight, 0.0 if name == "lstm.0.weight_ih" else learning_rate)


class _Ignored(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return super().decay(name, weight, 0.0)


class _Growing(Oracle):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return -super().decay(name, weight, learning_rate)


class _Default(Oracle):
    """PyTorch's default decay, whatever is configured: of all arrays, like an optimizer of all parameters.

    If none is configured, it is one of the decays that are not configured (``unconfigured_decay``).
    """

    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        factor = _DEFAULT_OF_PYTORCH if self.optimizer.weight_decay > 0 else 0.0
        return np.asarray(learning_rate * factor * weight)


MISTAKES = (
    Mistake("weight decay that is declared but ignored", _DECAY, _Ignored),
    Mistake("weight decay added to the clipped gradient (L2), not decoupled", _DECAY, _InGradient),
    Mistake(
        "weight decay added to the clipped gradient (L2), not decoupled, and on the biases too",
        _DECAY,
        _AllInGradient,
    ),
    Mistake(
        "weight decay added to the gradient before clipping (L2), not decoupled",
        _DECAY,
        _InGradientBeforeClipping,
    ),
    Mistake(
        "weight decay added to the gradient before clipping (L2), not decoupled, and on the biases too",
        _DECAY,
        _AllInGradientBeforeClipping,
    ),
    Mistake("weight decay that is not multiplied by the learning rate", _DECAY, _NotTimesRate),
    Mistake("weight decay scaled by the configured learning rate instead of the step's", _DECAY, _OwnRate),
    Mistake(
        "weight decay scaled by the learning rate divided by Adam's bias correction", _DECAY, _CorrectedRate
    ),
    Mistake(
        "weight decay computed from the weights after Adam's step instead of before it", _DECAY, _AfterStep
    ),
    Mistake("weight decay with the wrong sign: the weights grow", _DECAY, _Growing),
    Mistake("weight decay on the biases too", _WHICH, _BiasesToo),
    Mistake("no weight decay on layer 0's weight_ih", _WHICH, _NotOfFirstInputs),
    Mistake(
        "weight decay of 0.01 (the default of PyTorch's AdamW), whatever is configured", _DECAY, _Default
    ),
)
