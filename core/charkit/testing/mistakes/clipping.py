"""Clipping by the global norm."""

from __future__ import annotations

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle

_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm), without an epsilon"
_NORM = "optimizer.py: the returned norm is the one before clipping"
_OFF = "optimizer.py: a grad_clip of 0 turns clipping off"
_CLIP_FIRST = "optimizer.py: gradients are clipped first; Adam's moments and update use the clipped ones"


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


class _ScaledAfterAdam(_NotClipped):
    """Adam on the gradients as they are; its change is scaled as the gradients should have been."""

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        changes = {name: after[name] - weights[name] for name in weights}
        scaled = Oracle.clipped(self, changes, self.bounded(changes, norm))
        return {name: weights[name] + scaled[name] for name in weights}, moments, norm

    def bounded(self, changes: Arrays, norm: float) -> float:
        """The norm that decides the scale."""
        return norm


class _ChangeClipped(_ScaledAfterAdam):
    def bounded(self, changes: Arrays, norm: float) -> float:
        return self.norm(changes)


MISTAKES = (
    Mistake("missing gradient clipping", _CLIP, _NotClipped),
    Mistake("clipping that also scales up small gradients", _CLIP, _AlwaysScaled),
    Mistake("clipping with an epsilon of 1e-6 (as in clip_grad_norm_)", _CLIP, _ClippedWithEpsilon),
    Mistake("clipping by the norm of each array instead of by the global norm", _CLIP, _ClippedPerArray),
    Mistake("clipping by value instead of by the global norm", _CLIP, _ClippedByValue),
    Mistake(
        "a grad_clip of 0 treated as a threshold of zero instead of turning clipping off", _OFF, _ZeroClipsAll
    ),
    Mistake("the norm after clipping instead of before it", _NORM, _NormAfterClipping),
    Mistake(
        "clipping after Adam: the update is scaled instead of the gradients", _CLIP_FIRST, _ScaledAfterAdam
    ),
    Mistake("clipping after Adam: the update is clipped by its own norm", _CLIP_FIRST, _ChangeClipped),
)
