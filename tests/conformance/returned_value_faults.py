"""Planted faults in what the parts return: another type, another shape of result, what a framework traces with."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit_numpy.backend import NumpyBackend
from conformance import faults, optimizer_faults

BackendClass = type[NumpyBackend]


# ---- float64 where the precision is float32 -------------------------------------------------------------


def _in_float64(state: State[Any]) -> State[Any]:
    return State(*(array.astype(np.float64) for array in state))


def _narrowed(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """The LSTM, right, from a state of any type."""
    dtype = weights["output.bias"].dtype
    return inner(weights, symbols, State(*(array.astype(dtype) for array in state)), masks)


def _wide_state(*arguments: Any) -> Any:
    features, after = _narrowed(*arguments)
    return features, _in_float64(after)


def _wide_nats(inner: Any, logits: Any, targets: Any) -> Any:
    return inner(logits, targets).astype(np.float64)


def _wide_state_of_gradients(
    inner: Any, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any
) -> Any:
    dtype = weights["output.bias"].dtype
    narrow = State(*(array.astype(dtype) for array in state))
    right, nats, after = inner(weights, symbols, targets, narrow, masks)
    return right, nats, _in_float64(after)


class WideMoments(optimizer_faults.Adam):
    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        wide = {name: gradient.astype(np.float64) for name, gradient in gradients.items()}
        return super().__call__(weights, moments, wide, rates)


class WideWeights(optimizer_faults.Adam):
    def times(self, name: str) -> Any:
        return np.float64(1.0)


class HiddenWideState(NumpyBackend):
    """Keeps the state in float64, and rounds it only where it is copied out."""

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
            dtype = weights["output.bias"].dtype
            wide = {name: array.astype(np.float64) for name, array in weights.items()}
            features, after = inner(wide, symbols, _in_float64(state), masks)
            return features.astype(dtype), after

        return lstm

    def numpy(self, tensor: Any) -> Any:
        array = super().numpy(tensor)
        return array.astype(self._dtype) if array.dtype.kind == "f" else array


# ---- boxes, and results of another form -----------------------------------------------------------------


class Box:
    """What a framework wraps arrays in while it traces."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _boxed(inner: Any, *arguments: Any) -> Any:
    right, nats, state = inner(*arguments)
    return {name: Box(gradient) for name, gradient in right.items()}, nats, state


def _boxed_state(inner: Any, *arguments: Any) -> Any:
    right, nats, state = inner(*arguments)
    return right, nats, State(Box(state.hidden), Box(state.cell))


def _boxed_nats(inner: Any, *arguments: Any) -> Any:
    right, nats, state = inner(*arguments)
    return right, Box(nats), state


class ReturningLists(NumpyBackend):
    def numpy(self, tensor: Any) -> Any:
        return super().numpy(tensor).tolist()


def _three(inner: Any, model: Any, *arguments: Any) -> Any:
    features, state = inner(*arguments)
    return features, state.hidden, state.cell


def _plain_tuple(inner: Any, model: Any, *arguments: Any) -> Any:
    features, state = inner(*arguments)
    return features, (state.hidden, state.cell)


def _other_order(inner: Any, *arguments: Any) -> Any:
    right, nats, state = inner(*arguments)
    return nats, right, state


def _doubled(inner: Any, weights: Any, features: Any) -> Any:
    logits = inner(weights, features)
    return np.concatenate([logits, logits])


class PlainMoments(optimizer_faults.Adam):
    def __call__(self, *arguments: Any) -> Any:
        after, moments, norm = super().__call__(*arguments)
        return after, tuple(moments), norm


class NoSecondMoment(optimizer_faults.Adam):
    """Drops the second moment of biases."""

    def __call__(self, *arguments: Any) -> Any:
        after, moments, norm = super().__call__(*arguments)
        square = {name: array for name, array in moments.exp_avg_sq.items() if not name.endswith("bias")}
        return after, Moments(moments.exp_avg, square), norm


class NormOfEachArray(optimizer_faults.Adam):
    def __call__(self, *arguments: Any) -> Any:
        after, moments, norm = super().__call__(*arguments)
        return after, moments, np.full(3, norm)


_FORWARD = ("one_layer",)
_GRADIENTS = ("gradients_of_one_layer", "gradients_with_masks")
_UPDATE = ("first_step_of_adam",)
_WIDE = "such as a constant of that dtype"
_PLAIN = "return the framework's plain arrays"

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, BackendClass, tuple[str, ...], str], ...] = (
    ("a state in float64", faults.lstm(_wide_state), _FORWARD, _WIDE),
    (
        "logits in float64",
        faults.output(lambda inner, weights, features: inner(weights, features).astype(np.float64)),
        _FORWARD,
        _WIDE,
    ),
    ("nats in float64", faults.loss(_wide_nats), ("nats_of_each_symbol",), _WIDE),
    (
        "gradients in float64",
        faults.returned_gradients(
            lambda right, symbols: {name: array.astype(np.float64) for name, array in right.items()}
        ),
        _GRADIENTS,
        _WIDE,
    ),
    ("a state in float64 from gradients()", faults.gradients(_wide_state_of_gradients), _GRADIENTS, _WIDE),
    ("moments in float64", faults.optimizer(WideMoments), _UPDATE, _WIDE),
    ("weights in float64", faults.optimizer(WideWeights), _UPDATE, _WIDE),
    ("float64 inside the state", HiddenWideState, ("only_the_state_is_carried",), "has higher precision"),
    ("gradients wrapped in tracers", faults.gradients(_boxed), _GRADIENTS, _PLAIN),
    ("state wrapped in tracers", faults.gradients(_boxed_state), _GRADIENTS, _PLAIN),
    ("nats wrapped in tracers", faults.gradients(_boxed_nats), _GRADIENTS, _PLAIN),
    (
        "lists instead of arrays",
        ReturningLists,
        ("weights_out_equal_weights_in", "arrays_out_are_copies"),
        "numpy()",
    ),
    ("three values from the LSTM", faults.lstm(_three), _FORWARD, "lstm.py"),
    ("a tuple instead of a State", faults.lstm(_plain_tuple), _FORWARD, "lstm.py"),
    ("twice as many logits", faults.output(_doubled), _FORWARD, "output.py"),
    ("nats returned before gradients", faults.gradients(_other_order), _GRADIENTS, "differentiate()"),
    (
        "no gradient of a bias",
        faults.returned_gradients(
            lambda right, symbols: {name: array for name, array in right.items() if name != "output.bias"}
        ),
        _GRADIENTS,
        "differentiate()",
    ),
    (
        "an additional gradient",
        faults.returned_gradients(lambda right, symbols: right | {"hidden": right["output.bias"]}),
        _GRADIENTS,
        "differentiate()",
    ),
    ("a tuple instead of Moments", faults.optimizer(PlainMoments), _UPDATE, "optimizer.py"),
    ("missing second moments", faults.optimizer(NoSecondMoment), _UPDATE, "optimizer.py"),
    ("a norm per array", faults.optimizer(NormOfEachArray), _UPDATE, "optimizer.py"),
)
