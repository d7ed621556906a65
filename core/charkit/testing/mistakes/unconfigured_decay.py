"""Weight decay that is not configured; its strength is fitted to the arrays."""

from __future__ import annotations

import numpy as np

from charkit.backend import Moments
from charkit.testing.least_squares import LINEAR
from charkit.testing.mistakes.mistake import Family, always
from charkit.testing.oracle import Arrays, Floats, Oracle
from charkit.weights import decays

_DECAY = "optimizer.py: no weight decay if OptimizerConfig.weight_decay is 0"


class _Unconfigured(Oracle):
    """A decay although none is configured."""

    strength = 0.0
    biases_too = True

    def share(self, name: str) -> float:
        """The decay of an array per step, before the learning rate; 0 if a decay is configured."""
        is_configured = self.optimizer.weight_decay > 0
        return self.strength if (self.biases_too or decays(name)) and not is_configured else 0.0


class _Decoupled(_Unconfigured):
    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        return super().decay(name, weight, learning_rate) + learning_rate * self.share(name) * weight


class _InGradient(_Unconfigured):
    """L2: the gradient of half the squared weights is added to the gradients, before they are clipped."""

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        with_decay = {name: array + self.share(name) * weights[name] for name, array in gradients.items()}
        return super().update(weights, moments, with_decay, learning_rate, step)


class _InClippedGradient(_Unconfigured):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        self._weights = weights
        return super().update(weights, moments, gradients, learning_rate, step)

    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        clipped = super().clipped(gradients, norm)
        return {name: np.asarray(clipped[name] + self.share(name) * self._weights[name]) for name in clipped}


def _family(name: str, base: type[_Unconfigured], *, biases_too: bool) -> Family:
    def oracle(strength: float) -> type[Oracle]:
        return type(base.__name__, (base,), {"strength": strength, "biases_too": biases_too})

    of = "" if biases_too else ", on the matrices only"
    return Family(f"{name}{of}", _DECAY, oracle, always(0.0, 0.01, 1.0), LINEAR)


FAMILIES = tuple(
    _family(name, base, biases_too=biases_too)
    for name, base in (
        ("an unconfigured decoupled weight decay of {value}", _Decoupled),
        ("an unconfigured L2 penalty of {value} in the gradient", _InGradient),
        ("an unconfigured L2 penalty of {value} in the clipped gradient", _InClippedGradient),
    )
    for biases_too in (True, False)
)
