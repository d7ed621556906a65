"""Planted faults that depend on the calls before, on axes of equal length, and on the order of arrays in memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from charkit.backend import State
from charkit.network import Predict
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm
from charkit_numpy.tape import active_tape
from conformance import capability_faults, faults

_LEAST_TO_DIVIDE = 8

# ---- the calls before -----------------------------------------------------------------------------------


class Divided(NumpyBackend):
    """Right as it stands: predicts eight and more streams in two halves."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)
        return partial(self.predict, compiled, []) if isinstance(function, Predict) else compiled

    def predict(self, compiled: Any, calls: list[Any], weights: Any, symbols: Any, state: Any) -> Any:
        """Predicts; ``calls`` stays the same from call to call."""
        if len(symbols) < _LEAST_TO_DIVIDE:
            return compiled(weights, symbols, state)
        return self.in_halves(compiled, weights, symbols, state)

    def in_halves(self, compiled: Any, weights: Any, symbols: Any, state: Any) -> Any:
        half = len(symbols) // 2
        if not half:
            raise ValueError("one stream can't be divided")
        halves = [
            compiled(weights, symbols[part], State(*(array[:, part].copy() for array in state)))
            for part in (slice(None, half), slice(half, None))
        ]
        joined = State(
            *(np.concatenate(pair, axis=1) for pair in zip(*(after for _, after in halves), strict=True))
        )
        return self.join([logits for logits, _ in halves]), joined

    def join(self, logits: list[Any]) -> Any:
        return np.concatenate(logits, axis=1)


class JoinsByTime(Divided):
    """Joins the logits of the halves along time: right only where both halves are as large."""

    def join(self, logits: list[Any]) -> Any:
        return np.concatenate(logits, axis=0)


class DividesAsAtFirst(Divided):
    """Divides a batch, or does not, as the first call of a function decided."""

    def predict(self, compiled: Any, calls: list[Any], weights: Any, symbols: Any, state: Any) -> Any:
        calls.append(len(symbols) >= _LEAST_TO_DIVIDE)
        if not calls[0]:
            return compiled(weights, symbols, state)
        return self.in_halves(compiled, weights, symbols, state)


class MasksAsAtFirst(NumpyBackend):
    """Ignores masks in a function that was first called without."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)
        without: list[bool] = []

        def run(*arguments: Any) -> Any:
            if len(arguments) == 5:
                without.append(arguments[-1] is None)
                arguments = (*arguments[:-1], None if without[0] else arguments[-1])
            return compiled(*arguments)

        run.__name__ = getattr(function, "__name__", "run")
        return run


class GrowingLogits(NumpyBackend):
    """Keeps an array for logits, whose first elements serve smaller batches, with the strides of the largest."""

    _kept: Any = None

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(weights: Any, features: Any) -> Any:
            logits = inner(weights, features)
            if active_tape() is not None or len(logits) > 1:
                return logits
            kept = self._kept
            if kept is None or kept.shape[1] < logits.shape[1] or kept.shape[2] != logits.shape[2]:
                kept = self._kept = np.zeros_like(logits)
            kept[:, -logits.shape[1] :] = logits
            return kept[:, : logits.shape[1]].copy()

        return output


class LastDropout(NumpyBackend):
    """Scales dropout by that of the network that was built last."""

    _dropout = 0.0

    def build_lstm(self, model: Any) -> Any:
        self._dropout = model.dropout
        inner = super().build_lstm(model)

        def lstm(*arguments: Any) -> Any:
            features, after = inner(*arguments)
            wrong = (1.0 - model.dropout) / (1.0 - self._dropout)
            return (features if wrong == 1.0 else features * features.dtype.type(wrong)), after

        return lstm


def _masks_need_dropout(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Ignores masks in a model whose dropout is 0."""
    return inner(weights, symbols, state, masks if model.dropout else None)


class SharedByShape(NumpyBackend):
    """Shares compiled functions between models of the same sizes, whatever their dropout."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._shared: dict[Any, Any] = {}

    def build_lstm(self, model: Any) -> Any:
        key = (model.num_layers, model.lstm_size, model.vocabulary_size)
        return self._shared.setdefault(key, super().build_lstm(model))


class RestoresForItself(NumpyBackend):
    """Sets a process setting during each call, and restores it without a lock that other backends share."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        @wraps(function)
        def run(*arguments: Any) -> Any:
            before = sys.getrecursionlimit()
            sys.setrecursionlimit(before + 10)
            try:
                return compiled(*arguments)
            finally:
                sys.setrecursionlimit(before)

        return run


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
    ("halves joined along time", JoinsByTime, ("many_sequences_are_scored",), ""),
    ("batches divided as in the first call", DividesAsAtFirst, ("many_sequences_are_scored",), ""),
    (
        "masks taken as in the first call",
        MasksAsAtFirst,
        ("masks_come_and_go", "other_batch_shapes_do_not_interfere"),
        "first call",
    ),
    (
        "an array for logits that only grows",
        GrowingLogits,
        ("predictions_after_other_numbers_of_streams",),
        "kept between calls",
    ),
    (
        "masks ignored without dropout",
        faults.lstm(_masks_need_dropout),
        ("masks_apply_with_any_dropout",),
        "here 0.0",
    ),
    ("functions shared by shape", SharedByShape, ("masks_apply_with_any_dropout",), "here 0.6"),
    (
        "a setting restored while another backend works",
        RestoresForItself,
        ("backends_work_at_the_same_time",),
        "all backends share",
    ),
    ("the dropout of the last network", LastDropout, ("models_work_side_by_side",), "last network"),
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
    ("symbols in the order of their memory", InOrderOfMemory, ("arrays_have_any_order_of_memory",), "loss"),
    ("one unit squeezed", faults.lstm(_squeezed_step), ("predictions_of_one_unit",), ""),
    (
        "a large vocabulary in float32 alone",
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
