"""Adam's moments: of the wrong gradients, not carried over, or swapped."""

from __future__ import annotations

import numpy as np

from charkit.backend import Moments
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle

_MOMENTS = "optimizer.py: exp_avg and exp_avg_sq are running means of the clipped gradient and of its square"


class OtherMoments(Oracle):
    """The oracle's update with other moments, or with another use of them; a mistake overrides one method."""

    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        """The new first moment, from the gradient after and before clipping."""
        return self.optimizer.beta1 * before + (1.0 - self.optimizer.beta1) * clipped

    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        """The new second moment, from the gradient after and before clipping."""
        return self.optimizer.beta2 * before + (1.0 - self.optimizer.beta2) * clipped**2

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        """The moments that the change is made of."""
        return mean, square

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        right, kept, norm = super().update(weights, moments, gradients, learning_rate, step)
        clipped = self.clipped(gradients, norm)
        after, means, squares = {}, {}, {}
        for name, gradient in gradients.items():
            mean = self.mean(moments.exp_avg[name], clipped[name], gradient)
            square = self.square(moments.exp_avg_sq[name], clipped[name], gradient)
            used = self.used(name, mean, square, clipped[name], step)
            change = self.change(kept.exp_avg[name], kept.exp_avg_sq[name], learning_rate, step)
            after[name] = right[name] + (change - self.change(*used, learning_rate, step))
            means[name], squares[name] = mean, square
        return after, Moments(means, squares), norm


class _FirstUnclipped(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().mean(before, raw, raw)


class _SecondUnclipped(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().square(before, raw, raw)


class _FirstReset(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().mean(np.zeros_like(before), clipped, raw)


class _SecondReset(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().square(np.zeros_like(before), clipped, raw)


class _BothReset(_FirstReset, _SecondReset):
    """Both moments start from zero at each step."""


class _FirstIsSum(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta1 * before + clipped


class _SecondIsSum(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta2 * before + clipped**2


class _SecondNotSquared(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta2 * before + (1.0 - self.optimizer.beta2) * clipped


class _SwappedOut(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        return after, _swapped(moments), norm


class _SwappedIn(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        return super().update(weights, _swapped(moments), gradients, learning_rate, step)


class _SwappedBoth(_SwappedOut, _SwappedIn):
    """Read and returned in the wrong order."""


def _swapped(moments: Moments[Floats]) -> Moments[Floats]:
    return Moments(moments.exp_avg_sq, moments.exp_avg)


MISTAKES = (
    Mistake("a first moment of the gradients before clipping", _MOMENTS, _FirstUnclipped),
    Mistake("a second moment of the gradients before clipping", _MOMENTS, _SecondUnclipped),
    Mistake("a first moment that is reset at each step", _MOMENTS, _FirstReset),
    Mistake("a second moment that is reset at each step", _MOMENTS, _SecondReset),
    Mistake("moments that are reset at each step", _MOMENTS, _BothReset),
    Mistake("a first moment without the factor 1 - beta1", _MOMENTS, _FirstIsSum),
    Mistake("a second moment without the factor 1 - beta2", _MOMENTS, _SecondIsSum),
    Mistake("a second moment of the gradient, not of its square", _MOMENTS, _SecondNotSquared),
    Mistake("swapped moments: they are returned in the wrong order", _MOMENTS, _SwappedOut),
    Mistake("swapped moments: they are read in the wrong order", _MOMENTS, _SwappedIn),
    Mistake("swapped moments: they are read and returned in the wrong order", _MOMENTS, _SwappedBoth),
)
