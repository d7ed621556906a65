"""Planted faults of results that depend on the calls before, or on other networks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from charkit.backend import State
from charkit.network import Predict
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.tape import active_tape
from conformance import faults

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


#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("halves joined along time", JoinsByTime, ("many_sequences_are_scored",), ""),
    ("batches divided as in the first call", DividesAsAtFirst, ("many_sequences_are_scored",), ""),
    (
        "masks ignored if the first call had none",
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
        "dropout is 0.0",
    ),
    ("functions shared by shape", SharedByShape, ("masks_apply_with_any_dropout",), "dropout is 0.0"),
    (
        "a setting restored while another backend works",
        RestoresForItself,
        ("backends_work_at_the_same_time",),
        "all backends share",
    ),
    ("the dropout of the last network", LastDropout, ("models_work_side_by_side",), "last network"),
)
