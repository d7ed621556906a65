"""Planted faults that show in everyday use: at larger sizes, with other arrays, settings and schedules."""

from __future__ import annotations

from itertools import count
from time import perf_counter_ns
from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.tape import active_tape
from conformance import faults, optimizer_faults

# ---- sizes --------------------------------------------------------------------------------------------------


def _feeds_back_a_block(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    """Multiplies with the first 512 units alone."""
    first = {
        name: np.where(np.arange(array.shape[1]) < 512, array, 0).astype(array.dtype)
        for name, array in weights.items()
        if name.endswith("weight_hh")
    }
    return inner({**weights, **first}, *rest)


def _third_state(inner: Any, model: Any, weights: Any, symbols: Any, state: State[Any], masks: Any) -> Any:
    """Starts the layers above the third from its state."""
    layers = np.minimum(np.arange(model.num_layers), 2)
    return inner(weights, symbols, State(state.hidden[layers], state.cell[layers]), masks)


def _first_sequences(
    inner: Any, weights: Any, symbols: Any, targets: Any, state: State[Any], masks: Any
) -> Any:
    """Leaves sequences from the 65th on out of the gradient."""
    right, nats, after = inner(weights, symbols, targets, state, masks)
    right = {name: gradient.copy() for name, gradient in right.items()}
    most = min(len(symbols), 64)
    first = State(state.hidden[:, :most], state.cell[:, :most])
    some, _, _ = inner(
        weights, symbols[:most], targets[:most], first, None if masks is None else masks[:, :most]
    )
    share = most / len(symbols)
    return {name: (share * some[name]).astype(right[name].dtype) for name in right}, nats, after


def _bounded_dropout(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Scales by no more than a dropout of 0.75 asks for."""
    features, after = inner(weights, symbols, state, masks)
    bounded = 1.0 if masks is None else (1.0 - model.dropout) / (1.0 - min(model.dropout, 0.75))
    return (features * bounded).astype(features.dtype), after


def _first_streams(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Predicts one symbol of at most 32 sequences; the others are given the numbers of those."""
    features, after = inner(weights, symbols, state, masks)
    if active_tape() is None and symbols.shape[1] == 1:
        which = np.arange(len(symbols)) % 32
        return features[:, which], State(after.hidden[:, which], after.cell[:, which])
    return features, after


def _first_chunk(inner: Any, logits: Any, targets: Any) -> Any:
    """Gives symbols from the 4,097th on the nats of those before."""
    nats = inner(logits, targets)
    flat = np.resize(nats.ravel()[:4096], nats.size)
    return flat.reshape(nats.shape)


def _state_of_the_first_steps(
    inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any
) -> Any:
    """Returns, of a sequence longer than 150 symbols, the cells as if they had been reset."""
    features, after = inner(weights, symbols, state, masks)
    return features, after if symbols.shape[1] <= 150 else State(after.hidden, 0 * after.cell)


def _squeezed_unit(inner: Any, model: Any, *arguments: Any) -> Any:
    """Drops the axes of length 1 of a model of one unit."""
    features, after = inner(*arguments)
    return (features.squeeze() if model.lstm_size == 1 else features), after


class AnyOrder(NumpyBackend):
    """Adds up the gradients of parts of a large batch in another order at each call."""

    def differentiate(self, forward: Any) -> Any:
        inner, calls = super().differentiate(forward), count()

        def backward(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
            right, nats, after = inner(weights, symbols, targets, state, masks)
            if len(symbols) <= 64:
                return right, nats, after
            total = dict.fromkeys(right, 0.0)
            parts = np.array_split(np.arange(len(symbols)), 3)
            for part in parts if next(calls) % 2 else parts[::-1]:
                own = State(state.hidden[:, part], state.cell[:, part])
                some, _, _ = inner(weights, symbols[part], targets[part], own, masks[:, part])
                share = len(part) / len(symbols)
                total = {name: total[name] + share * some[name] for name in total}
            return total, nats, after

        return backward


def _clipped_cells(inner: Any, model: Any, *rest: Any) -> Any:
    features, after = inner(*rest)
    return features, State(after.hidden, np.clip(after.cell, -10, 10))


def _clipped_elements(right: dict[str, Any], symbols: Any) -> dict[str, Any]:
    return {name: np.clip(gradient, -1, 1) for name, gradient in right.items()}


# ---- arrays and updates -------------------------------------------------------------------------------------


class KeepsOrder(NumpyBackend):
    """Copies an array in as it lies in memory; an update of its flat view is then lost."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return np.array(array, dtype=self._dtype if array.dtype.kind == "f" else array.dtype, order="K")


class ScramblesIntegers(NumpyBackend):
    """Copies integers and masks in the order of their memory."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return super().tensor(
            array.ravel(order="K").reshape(array.shape) if array.dtype.kind in "ib" else array
        )


class LazyAdam(optimizer_faults.Adam):
    """Leaves the columns of layer 0's weight_ih alone whose gradient is zero."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        after, moved, norm = super().__call__(weights, moments, gradients, rates)
        name = "lstm.0.weight_ih"
        absent = ~gradients[name].any(axis=0)
        groups = (weights, after), (moments.exp_avg, moved.exp_avg), (moments.exp_avg_sq, moved.exp_avg_sq)
        for before, now in groups:
            now[name] = np.where(absent, before[name], now[name])
        return after, moved, norm


class SkipsZeroGradients(NumpyOptimizer):
    def __call__(self, weights: Any, moments: Moments[Any], gradients: Any, rates: Any) -> Any:
        if not any(gradient.any() for gradient in gradients.values()):
            return dict(weights), moments, np.zeros((), gradients["output.bias"].dtype)
        return super().__call__(weights, moments, gradients, rates)


class RateZeroIsUnset(optimizer_faults.Adam):
    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        own = np.asarray(self.config.learning_rate, rates.learning_rate.dtype)
        rate = rates.learning_rate if rates.learning_rate > 0 else own
        return super().__call__(weights, moments, gradients, rates._replace(learning_rate=rate))


class AuthorsVersion(NumpyBackend):
    """Says the version that its author had."""

    def versions(self) -> dict[str, str]:
        return {"numpy": "1.0.0"}


class ClockInVersions(NumpyBackend):
    """Says of its library when it was asked."""

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "asked": str(perf_counter_ns())}


class KeepsHalves(NumpyBackend):
    """Copies float16 arrays in as they are."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return array.copy() if array.dtype == np.float16 else super().tensor(array)


class KeepsLongDoubles(NumpyBackend):
    """Copies arrays that are wider than float64 in as they are."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return array.copy() if array.dtype.char == np.dtype(np.longdouble).char else super().tensor(array)


class RoundsLongDoubles(NumpyBackend):
    """Copies arrays that are wider than float64 in with the precision of float32."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        is_long = array.dtype.char == np.dtype(np.longdouble).char
        return super().tensor(array.astype(np.float32) if is_long else array)


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "only the first 512 units feed back",
        faults.lstm(_feeds_back_a_block),
        ("gradients_of_wide_layers",),
        "in blocks",
    ),
    (
        "the state of only the first three layers",
        faults.lstm(_third_state),
        ("gradients_of_many_sequences", "many_sequences_are_scored"),
        "",
    ),
    (
        "gradients of only the first 64 sequences",
        faults.gradients(_first_sequences),
        ("gradients_of_many_sequences",),
        "",
    ),
    (
        "dropout above 0.75 scaled as if it were 0.75",
        faults.lstm(_bounded_dropout),
        ("gradients_of_many_sequences",),
        "dropout",
    ),
    (
        "only the first 32 streams predicted",
        faults.lstm(_first_streams),
        ("many_sequences_are_scored",),
        "buffers",
    ),
    (
        "only the first 4,096 nats computed",
        faults.loss(_first_chunk),
        ("many_sequences_are_scored",),
        "loss.py",
    ),
    (
        "a state that is lost after 150 symbols",
        faults.lstm(_state_of_the_first_steps),
        ("gradients_span_the_whole_sequence",),
        "all time steps",
    ),
    ("clipped cells", faults.lstm(_clipped_cells), ("saturated_gates_and_large_cells",), ""),
    (
        "clipped elements of gradients",
        faults.returned_gradients(_clipped_elements),
        ("saturated_gates_and_large_cells",),
        "no element of a gradient may be clipped",
    ),
    ("column-major arrays misread", KeepsOrder, ("memory_order_does_not_matter",), "tensor()"),
    ("column-major integers misread", ScramblesIntegers, ("arrays_keep_type_and_shape",), "tensor()"),
    (
        "moments that don't decay without a gradient (lazy Adam)",
        faults.optimizer(LazyAdam),
        ("moments_decay_without_gradients",),
        "",
    ),
    (
        "no update for zero gradients",
        faults.optimizer(SkipsZeroGradients),
        ("moments_decay_without_gradients",),
        "",
    ),
    (
        "a learning rate of zero treated as unset",
        faults.optimizer(RateZeroIsUnset),
        ("learning_rate_follows_the_schedule",),
        "",
    ),
    (
        "a beta1 of zero treated as unset",
        faults.optimizer(
            lambda config: optimizer_faults.Adam(config.model_copy(update={"beta1": config.beta1 or 0.9}))
        ),
        ("beta1_comes_from_the_configuration",),
        "a beta1 of 0.9 instead of 0",
    ),
    ("an axis of one unit squeezed", faults.lstm(_squeezed_unit), ("gradients_of_the_smallest_model",), ""),
    ("sums in an arbitrary order", AnyOrder, ("gradients_of_many_sequences",), "order"),
    ("float16 arrays that stay float16", KeepsHalves, ("arrays_keep_type_and_shape",), "tensor()"),
    ("long doubles rounded to float32", RoundsLongDoubles, ("arrays_keep_type_and_shape",), "tensor()"),
    ("long doubles that stay long", KeepsLongDoubles, ("arrays_keep_type_and_shape",), "tensor()"),
    ("a timestamp among the versions", ClockInVersions, ("versions_are_reported",), ""),
    ("a hard-coded version", AuthorsVersion, ("versions_are_reported",), "versions()"),
)
