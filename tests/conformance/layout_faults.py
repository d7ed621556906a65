"""Planted faults of layouts, of axes of equal length, of precisions, and of weight decay at its limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm
from charkit_numpy.tape import active_tape
from conformance import capability_faults, faults

# ---- layouts --------------------------------------------------------------------------------------------


def targets_by_shape(inner: Any, logits: Any, targets: Any) -> Any:
    """Takes targets for time-major where they may be."""
    return inner(logits, targets.T if targets.shape == logits.shape[:2] else targets)


def _masks_by_shape(inner: Any, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
    """Takes masks for time-major where they may be."""
    return inner(weights, symbols, targets, state, _time_major(masks))


def _time_major(masks: Any) -> Any:
    is_square = masks is not None and masks.shape[1] == masks.shape[2]
    return np.ascontiguousarray(masks.transpose(0, 2, 1, 3)) if is_square else masks


class MasksOfHalvesByShape(NumpyLstm):
    """Takes masks for time-major where those of half a batch may be."""

    def __call__(self, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        return super().__call__(weights, symbols, state, _time_major(masks))


class InOrderOfMemory(NumpyBackend):
    """Copies integers in the order of their memory, and needs targets that are contiguous."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return np.array(array, order="K") if array.dtype.kind == "i" else super().tensor(array)

    def build_loss(self, model: Any) -> Any:
        inner = super().build_loss(model)

        def loss(logits: Any, targets: Any) -> Any:
            if not targets.flags.c_contiguous:
                raise ValueError("view size is not compatible with the array's strides")
            return inner(logits, targets)

        return loss


def _squeezed_step(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Drops every axis of length 1 of the features of a single step of several streams."""
    features, after = inner(weights, symbols, state, masks)
    if active_tape() is None and symbols.shape[1] == 1 and len(symbols) > 1:
        features = features.squeeze().reshape(1, len(symbols), -1)[..., : features.shape[-1]]
        if model.lstm_size == 1:
            raise ValueError("matrices of shapes (3,) and (1, 4) don't fit")
    return features, after


# ---- precisions -----------------------------------------------------------------------------------------


def _needs_float32(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    """Multiplies by a float32 identity where there are more symbols than gates."""
    found = weights["lstm.0.weight_ih"]
    if found.shape[1] > 4 * len(found) and found.dtype != np.float32:
        raise TypeError("expected both matrices to have the same dtype, float32 and float64")
    return inner(weights, *rest)


class BoundedDecay(capability_faults.AdamW):
    """Lets a weight lose no more than all of itself."""

    def rate(self, rates: Any) -> Any:
        return np.minimum(super().rate(rates), 1.0 / max(self.config.weight_decay, 1e-30))


class RoundedDecay(capability_faults.AdamW):
    """Multiplies weights by 1 - learning_rate * weight_decay, rounded."""

    def decay(self, name: str, before: Any, stepped: Any, rates: Any) -> Any:
        factor = np.float32(1.0 - float(self.rate(rates)) * self.config.weight_decay)
        rounded = (1.0 - float(factor)) * before.astype(np.float64)
        exact = super().decay(name, before, stepped, rates)
        return rounded if self.chosen(name) and before.dtype == np.float32 else exact


_AXES = ("gradients_where_all_axes_are_equal",)

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("targets laid out by their shape", faults.loss(targets_by_shape), _AXES, "inferred from a shape"),
    (
        "masks laid out by their shape",
        faults.gradients(_masks_by_shape),
        _AXES,
        "inferred from a shape",
    ),
    (
        "masks of halves laid out by their shape",
        faults.lstm_class(MasksOfHalvesByShape),
        _AXES,
        "inferred from a shape",
    ),
    ("symbols read in memory order", InOrderOfMemory, ("arrays_have_any_order_of_memory",), "loss"),
    ("one unit squeezed", faults.lstm(_squeezed_step), ("predictions_of_one_unit",), ""),
    (
        "large vocabularies only in float32",
        faults.lstm(_needs_float32),
        ("gradients_span_the_whole_sequence",),
        "",
    ),
    (
        "a bounded decay",
        capability_faults.optimizer(BoundedDecay),
        ("weight_decay_uses_the_weights_before_the_step",),
        "above 1",
    ),
    (
        "a decay by a rounded factor",
        capability_faults.optimizer(RoundedDecay),
        ("small_weight_decay_is_not_rounded",),
        "is rounded",
    ),
)
