"""Planted faults of declared capabilities: weight decay done wrongly, and declarations that are wrong themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.config import OptimizerConfig
from charkit.weights import decays
from charkit_numpy.backend import NumpyBackend
from conformance import faults, optimizer_faults

BackendClass = type[NumpyBackend]


def optimizer(faulty: Callable[[OptimizerConfig], Any]) -> BackendClass:
    """A backend that declares weight decay, with an optimizer of its own."""

    class Faulty(faults.optimizer(faulty)):  # type: ignore[misc]
        capabilities = frozenset({"weight_decay"})

    return Faulty


class AdamW(optimizer_faults.Adam):
    """Decoupled weight decay written plainly, right as it stands; subclasses are wrong in one place."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        before = {name: weight.copy() for name, weight in weights.items()}
        precise = {name: weight.astype(np.float64) for name, weight in weights.items()}
        stepped, moments, norm = super().__call__(precise, moments, gradients, rates)
        after = {  # rounded once: a decay that is rounded alone may be lost
            name: (stepped[name] - self.decay(name, array, stepped[name], rates)).astype(array.dtype)
            for name, array in before.items()
        }
        return after, moments, norm

    def decay(self, name: str, before: Any, stepped: Any, rates: Any) -> Any:
        """What is subtracted from an array, given as it was before the step and as Adam has left it."""
        return self.rate(rates) * self.config.weight_decay * (before if self.chosen(name) else 0.0 * before)

    def rate(self, rates: Any) -> Any:
        return rates.learning_rate

    def chosen(self, name: str) -> bool:
        return decays(name)


class InClippedGradient(optimizer_faults.Adam):
    """L2: what ``torch.optim.Adam(weight_decay=...)`` does."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        norm = self.norm(gradients)
        clipped = {name: self.clip(gradient, norm) for name, gradient in gradients.items()}
        loose = optimizer_faults.Adam(self.config.model_copy(update={"grad_clip": 0.0}))
        after, moments, _ = loose(weights, moments, self.with_decay(clipped, weights), rates)
        return after, moments, self.told(norm)

    def with_decay(self, gradients: Any, weights: Any) -> Any:
        return {
            name: gradient + self.config.weight_decay * weights[name] if self.chosen(name) else gradient
            for name, gradient in gradients.items()
        }

    def chosen(self, name: str) -> bool:
        return decays(name)


class InGradient(InClippedGradient):
    """L2 as a term of the loss has it: in the gradient before it is clipped."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        return optimizer_faults.Adam.__call__(
            self, weights, moments, self.with_decay(gradients, weights), rates
        )


class AllInClippedGradient(InClippedGradient):
    def chosen(self, name: str) -> bool:
        return True


class AllInGradient(InGradient):
    def chosen(self, name: str) -> bool:
        return True


class NotTimesRate(AdamW):
    def rate(self, rates: Any) -> Any:
        return 1.0


class OwnRate(AdamW):
    def rate(self, rates: Any) -> Any:
        return self.config.learning_rate


class CorrectedRate(AdamW):
    def rate(self, rates: Any) -> Any:
        return rates.learning_rate / rates.bias_correction1


class OfBiasesToo(AdamW):
    def chosen(self, name: str) -> bool:
        return True


class NotOfFirstInputs(AdamW):
    """Takes layer 0's input weights for an embedding, which some recipes leave alone."""

    def chosen(self, name: str) -> bool:
        return decays(name) and name != "lstm.0.weight_ih"


class AfterStep(AdamW):
    def decay(self, name: str, before: Any, stepped: Any, rates: Any) -> Any:
        return super().decay(name, stepped, stepped, rates)


class Growing(AdamW):
    def rate(self, rates: Any) -> Any:
        return -rates.learning_rate


class AlwaysDefault(AdamW):
    """Takes the default of ``torch.optim.AdamW`` and ignores the configuration."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config.model_copy(update={"weight_decay": 0.01}))

    def chosen(self, name: str) -> bool:
        return True


class UnknownCapability(NumpyBackend):
    capabilities = frozenset({"weight_decay", "weight_decays"})


class CapabilityAsText(NumpyBackend):
    capabilities = "weight_decay"  # type: ignore[assignment]


class OneDigitLayers(AdamW):
    """Knows the weights of ten layers."""

    def chosen(self, name: str) -> bool:
        return re.fullmatch(r"lstm\.\d\.weight_[ih]h|output\.weight", name) is not None


class KeptWithoutDecay(NumpyBackend):
    """Makes one optimizer for configurations that differ in their weight decay alone."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._made: dict[Any, Any] = {}

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        key = tuple(optimizer.model_dump(exclude={"weight_decay"}).values())
        return self._made.setdefault(key, super().build_optimizer(optimizer))


#: What is planted, the backend, the checks that must fail on it, and what the failure must call it.
FAULTS: tuple[tuple[str, BackendClass, tuple[str, ...], str], ...] = (
    ("an unknown capability", UnknownCapability, ("declared_capabilities_are_known",), ""),
    (
        "only layers with one-digit numbers decay",
        optimizer(OneDigitLayers),
        ("weight_decay_of_eleven_layers",),
        "decays",
    ),
    ("optimizers cached without their decay", KeptWithoutDecay, ("weight_decay_of_eleven_layers",), "cached"),
    ("capabilities as text", CapabilityAsText, ("declared_capabilities_are_known",), ""),
    (
        "L2 in the clipped gradient",
        optimizer(InClippedGradient),
        (
            "weight_decay_is_decoupled",
            "weight_decay_is_not_clipped",
            "weight_decay_uses_the_weights_before_the_step",
        ),
        "weight decay added to the clipped gradient (L2), not decoupled; see",
    ),
    (
        "L2 before clipping",
        optimizer(InGradient),
        ("weight_decay_is_decoupled", "weight_decay_is_not_clipped"),
        "weight decay added to the gradient before clipping (L2), not decoupled; see",
    ),
    (
        "L2 of all arrays in the clipped gradient",
        optimizer(AllInClippedGradient),
        ("weight_decay_is_decoupled", "weight_decay_applies_to_matrices_only"),
        "weight decay added to the clipped gradient (L2), not decoupled, and on the biases too",
    ),
    (
        "L2 of all arrays before clipping",
        optimizer(AllInGradient),
        ("weight_decay_is_decoupled", "weight_decay_is_not_clipped"),
        "weight decay added to the gradient before clipping (L2), not decoupled, and on the biases too",
    ),
    (
        "weight decay declared but ignored",
        optimizer(optimizer_faults.Adam),
        (
            "weight_decay_is_decoupled",
            "weight_decay_applies_to_matrices_only",
            "weight_decay_follows_the_schedule",
        ),
        "weight decay that is declared but ignored",
    ),
    (
        "weight decay not multiplied by the learning rate",
        optimizer(NotTimesRate),
        ("weight_decay_is_decoupled", "weight_decay_follows_the_schedule"),
        "weight decay that is not multiplied by the learning rate",
    ),
    (
        "the configuration's learning rate",
        optimizer(OwnRate),
        ("weight_decay_follows_the_schedule",),
        "weight decay scaled by the configured learning rate instead of the step's",
    ),
    (
        "weight decay scaled by the learning rate over the bias correction",
        optimizer(CorrectedRate),
        ("weight_decay_follows_the_schedule",),
        "weight decay scaled by the learning rate divided by Adam's bias correction",
    ),
    (
        "biases decay too",
        optimizer(OfBiasesToo),
        ("weight_decay_is_decoupled", "weight_decay_applies_to_matrices_only"),
        "weight decay on the biases too",
    ),
    (
        "layer 0's input weights don't decay",
        optimizer(NotOfFirstInputs),
        ("weight_decay_applies_to_matrices_only",),
        "no weight decay on layer 0's weight_ih",
    ),
    (
        "decay after the step",
        optimizer(AfterStep),
        ("weight_decay_uses_the_weights_before_the_step", "weight_decay_is_decoupled"),
        "weight decay computed from the weights after Adam's step",
    ),
    (
        "weight decay with the wrong sign",
        optimizer(Growing),
        ("weight_decay_applies_to_matrices_only",),
        "weight decay with the wrong sign",
    ),
    (
        "the default weight decay, whatever is configured",
        optimizer(AlwaysDefault),
        ("weight_decay_is_decoupled",),
        "weight decay of 0.01 (the default of PyTorch's AdamW), whatever is configured",
    ),
    (
        "the default weight decay although none is configured",
        optimizer(AlwaysDefault),
        ("zero_weight_decay_changes_nothing",),
        "an unconfigured decoupled weight decay of 0.01",
    ),
)
