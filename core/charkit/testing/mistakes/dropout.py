"""Dropout by the given masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle, Unrolled

_DROPOUT = "lstm.py: every layer's output is h * mask / (1 - dropout); the carried h is not masked"
_MASKS = "lstm.py: masks are (layer, batch, time, unit): each layer, sequence and time step has its own"
_BACKWARD = "lstm.py: if the backward pass is written by hand, it applies the mask and its scale too"


class _CarriedStateMasked(Oracle):
    def carried(self, hidden: Floats, factor: Floats) -> Floats:
        return hidden * factor


class _LastLayerNotDropped(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        factors[-1] = 1.0
        return factors


class _OnlyLastLayerDropped(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        factors[:-1] = 1.0
        return factors


class _Scaled(Oracle):
    """The masks with another scale than ``1 / (1 - dropout)``."""

    def scale(self) -> float:
        return 1.0

    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        return factors if masks is None else np.asarray(masks * self.scale(), np.float64)


class _ScaledByKeptShare(_Scaled):
    def scale(self) -> float:
        return 1.0 - self.model.dropout


class _ScaledByDroppedShare(_Scaled):
    def scale(self) -> float:
        return 1.0 / self.model.dropout if self.model.dropout else 1.0


class _MasksIgnored(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None, shape)


class _MasksInverted(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None if masks is None else ~masks, shape)


class _MasksForwardOnly(Oracle):
    def backward(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        return super().backward(weights, run, into_logits, np.ones_like(factors))


# ---- masks of other positions ------------------------------------------------------------------------------


class _MovedMasks(Oracle):
    """Each output has the mask of another layer, sequence or time step."""

    def moved(self, factors: Floats) -> Floats:
        """The factors ``(layer, batch, time, unit)`` at wrong positions."""
        raise NotImplementedError(f"{type(self).__name__} must define where its masks come from")

    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return np.array(self.moved(super().dropout_factors(masks, shape)))


class _PreviousStep(_MovedMasks):
    """The last step's mask at the first step, as with an index of -1."""

    def moved(self, factors: Floats) -> Floats:
        return np.roll(factors, 1, axis=2)


class _PreviousStepExceptFirst(_MovedMasks):
    """The first step has its own mask."""

    def moved(self, factors: Floats) -> Floats:
        return np.concatenate([factors[:, :, :1], factors[:, :, :-1]], axis=2)


class _NextStep(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.roll(factors, -1, axis=2)


class _TimeReversed(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return factors[:, :, ::-1]


class _FirstStepForAll(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:, :, :1], factors.shape)


class _FirstSequenceForAll(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:, :1], factors.shape)


class _LayersReversed(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return factors[::-1]


class _LayerBelow(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.roll(factors, 1, axis=0)


class _LayerAbove(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.roll(factors, -1, axis=0)


class _FirstLayerForAll(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:1], factors.shape)


class _LastLayerForAll(_MovedMasks):
    def moved(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[-1:], factors.shape)


MISTAKES = (
    Mistake("dropout on the carried state", _DROPOUT, _CarriedStateMasked),
    Mistake("no dropout on the last layer (as in torch.nn.LSTM)", _DROPOUT, _LastLayerNotDropped),
    Mistake("dropout only on the last layer, not between layers", _DROPOUT, _OnlyLastLayerDropped),
    Mistake("a missing dropout scale of 1 / (1 - dropout)", _DROPOUT, _Scaled),
    Mistake("a dropout scale of 1 - dropout instead of 1 / (1 - dropout)", _DROPOUT, _ScaledByKeptShare),
    Mistake("a dropout scale of 1 / dropout instead of 1 / (1 - dropout)", _DROPOUT, _ScaledByDroppedShare),
    Mistake("masks that are ignored", _DROPOUT, _MasksIgnored),
    Mistake("inverted masks: True must mean keep", _DROPOUT, _MasksInverted),
    Mistake("masks missing from the backward pass", _BACKWARD, _MasksForwardOnly),
    Mistake("the mask of the previous time step", _MASKS, _PreviousStep),
    Mistake("the mask of the previous time step", _MASKS, _PreviousStepExceptFirst),
    Mistake("the mask of the next time step", _MASKS, _NextStep),
    Mistake("masks reversed in time", _MASKS, _TimeReversed),
    Mistake("the first time step's mask at every time step", _MASKS, _FirstStepForAll),
    Mistake("the first sequence's mask for every sequence", _MASKS, _FirstSequenceForAll),
    Mistake("the wrong layer's mask: the layers are reversed", _MASKS, _LayersReversed),
    Mistake("the wrong layer's mask: that of the layer below", _MASKS, _LayerBelow),
    Mistake("the wrong layer's mask: that of the layer above", _MASKS, _LayerAbove),
    Mistake("the wrong layer's mask: the first layer's for all", _MASKS, _FirstLayerForAll),
    Mistake("the wrong layer's mask: the last layer's for all", _MASKS, _LastLayerForAll),
)
