"""Dropout by the masks that are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.oracle import Arrays, Floats, Oracle, Unrolled

_DROPOUT = "lstm.py: every layer's output is h * mask / (1 - dropout); the carried h is not masked"
_MASKS = "lstm.py: masks are (layer, batch, time, unit): each layer, sequence and time step has its own"
_BACK = "lstm.py: the mask and its scale on the way back, where the way back is by hand"


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


class _ScaledByKept(_Scaled):
    def scale(self) -> float:
        return 1.0 - self.model.dropout


class _ScaledByDropped(_Scaled):
    def scale(self) -> float:
        return 1.0 / self.model.dropout if self.model.dropout else 1.0


class _MasksIgnored(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None, shape)


class _MasksInverted(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None if masks is None else ~masks, shape)


class _MasksForwardOnly(Oracle):
    def back(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        return super().back(weights, run, into_logits, np.ones_like(factors))


# ---- the mask of another place -----------------------------------------------------------------------------


class _OtherPlace(Oracle):
    """Each output is dropped by the mask of another layer, sequence or time step."""

    def other(self, factors: Floats) -> Floats:
        """The factors ``(layer, batch, time, unit)`` in the wrong places."""
        raise NotImplementedError(f"{type(self).__name__} must say where its masks come from")

    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return np.array(self.other(super().dropout_factors(masks, shape)))


class _StepBefore(_OtherPlace):
    """The last step's mask at the first step, as an index of -1 gives it."""

    def other(self, factors: Floats) -> Floats:
        return np.roll(factors, 1, axis=2)


class _StepBeforeFromOwn(_OtherPlace):
    """The first step has its own mask."""

    def other(self, factors: Floats) -> Floats:
        return np.concatenate([factors[:, :, :1], factors[:, :, :-1]], axis=2)


class _StepAfter(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.roll(factors, -1, axis=2)


class _TimeReversed(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return factors[:, :, ::-1]


class _FirstStepForAll(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:, :, :1], factors.shape)


class _FirstSequenceForAll(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:, :1], factors.shape)


class _LayersReversed(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return factors[::-1]


class _LayerBelow(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.roll(factors, 1, axis=0)


class _LayerAbove(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.roll(factors, -1, axis=0)


class _FirstLayerForAll(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[:1], factors.shape)


class _LastLayerForAll(_OtherPlace):
    def other(self, factors: Floats) -> Floats:
        return np.broadcast_to(factors[-1:], factors.shape)


MISTAKES = (
    Mistake("dropout on the carried state", _DROPOUT, _CarriedStateMasked),
    Mistake("no dropout on the last layer (torch.nn.LSTM's)", _DROPOUT, _LastLayerNotDropped),
    Mistake("no dropout between the layers, only on the last", _DROPOUT, _OnlyLastLayerDropped),
    Mistake("a missing dropout scale 1 / (1 - dropout)", _DROPOUT, _Scaled),
    Mistake("a dropout scale of 1 - dropout instead of 1 / (1 - dropout)", _DROPOUT, _ScaledByKept),
    Mistake("a dropout scale of 1 / dropout instead of 1 / (1 - dropout)", _DROPOUT, _ScaledByDropped),
    Mistake("masks that are ignored", _DROPOUT, _MasksIgnored),
    Mistake("inverted masks: true must keep", _DROPOUT, _MasksInverted),
    Mistake("masks that are not on the way back", _BACK, _MasksForwardOnly),
    Mistake("the mask of the time step before", _MASKS, _StepBefore),
    Mistake("the mask of the time step before", _MASKS, _StepBeforeFromOwn),
    Mistake("the mask of the time step after", _MASKS, _StepAfter),
    Mistake("masks reversed in time", _MASKS, _TimeReversed),
    Mistake("the first time step's mask at every time step", _MASKS, _FirstStepForAll),
    Mistake("the first sequence's mask for every sequence", _MASKS, _FirstSequenceForAll),
    Mistake("another layer's mask: the layers are reversed", _MASKS, _LayersReversed),
    Mistake("another layer's mask: that of the layer below", _MASKS, _LayerBelow),
    Mistake("another layer's mask: that of the layer above", _MASKS, _LayerAbove),
    Mistake("another layer's mask: the first layer's for all", _MASKS, _FirstLayerForAll),
    Mistake("another layer's mask: the last layer's for all", _MASKS, _LastLayerForAll),
)
