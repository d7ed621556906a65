"""Planted faults that show only beyond small cases: many symbols, layers or steps, other settings, other orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.network import Forward, Predict
from charkit.weights import weight_shapes
from charkit_numpy.backend import NumpyBackend
from conformance import faults, optimizer_faults

BackendClass = type[NumpyBackend]


# ---- symbols in few bits --------------------------------------------------------------------------------


def symbols_as(dtype: Any) -> BackendClass:
    """An LSTM that looks its symbols up as integers of another type."""
    return faults.lstm(
        lambda inner, model, weights, symbols, *rest: inner(weights, _folded(symbols, dtype), *rest)
    )


def targets_as(dtype: Any) -> BackendClass:
    """A loss that looks its targets up as integers of another type."""
    return faults.loss(lambda inner, logits, targets: inner(logits, _folded(targets, dtype)))


def _folded(symbols: Any, dtype: Any) -> Any:
    return symbols.astype(dtype).astype(np.int32)


# ---- back-propagation that is cut -----------------------------------------------------------------------


def cut_every(length: int) -> BackendClass:
    """The gradient of so many time steps at a time, as if the state before them were given."""

    def wrap(inner: Any, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
        total: dict[str, Any] = dict.fromkeys(weights, 0.0)
        steps, nats = symbols.shape[1], []
        for start in range(0, steps, length):
            now = slice(start, start + length)
            part, some, state = inner(
                weights, symbols[:, now], targets[:, now], state, None if masks is None else masks[:, :, now]
            )
            share = some.shape[1] / steps
            total = {name: total[name] + (share * part[name]).astype(part[name].dtype) for name in total}
            nats.append(some)
        return total, np.concatenate(nats, axis=1), state

    return faults.gradients(wrap)


# ---- layers above the second ----------------------------------------------------------------------------


def _upper_layers_reversed(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    """Takes the layers above the first from the top down, which of two layers makes no difference."""
    last = model.num_layers - 1
    other = {
        f"lstm.{last + 1 - layer}.{part}": weights[f"lstm.{layer}.{part}"]
        for layer in range(1, last + 1)
        for part in ("weight_ih", "weight_hh", "bias")
    }
    return inner({**weights, **other}, *rest)


# ---- settings that are not read -------------------------------------------------------------------------


def always(**settings: float) -> BackendClass:
    """An optimizer in which some settings are fixed at their defaults."""
    return faults.optimizer(lambda config: optimizer_faults.Adam(config.model_copy(update=settings)))


# ---- joined by position ---------------------------------------------------------------------------------


def _canonical(arrays: Any) -> list[str]:
    layers = sum(name.endswith("weight_hh") for name in arrays)
    return list(weight_shapes(ModelConfig(vocabulary_size=2, num_layers=layers)))


def _weights_by_position(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    return inner(dict(zip(_canonical(weights), weights.values(), strict=True)), *rest)


def _gradients_by_position(inner: Any, weights: Any, *rest: Any) -> Any:
    right, nats, state = inner(weights, *rest)
    ordered = [right[name] for name in _canonical(weights)]
    return dict(zip(weights, ordered, strict=True)), nats, state


class GradientsByPosition(optimizer_faults.Adam):
    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        joined = dict(zip(weights, gradients.values(), strict=True))
        return super().__call__(weights, moments, joined, rates)


class MomentsByPosition(optimizer_faults.Adam):
    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        joined = Moments(moments.exp_avg, dict(zip(weights, moments.exp_avg_sq.values(), strict=True)))
        return super().__call__(weights, joined, gradients, rates)


# ---- growth ---------------------------------------------------------------------------------------------


class Historic(np.ndarray):
    """An array that refers to what it was made from, as the arrays of a framework that records a graph do."""

    history: Any = None


def _with_history(after: State[Any], before: State[Any], symbols: Any) -> State[Any]:
    hidden = after.hidden.view(Historic)
    hidden.history = (before.hidden, np.ones((*symbols.shape, 4 * after.hidden.shape[-1]), np.float32))
    return State(hidden, after.cell)


def _keeping_graph(inner: Any, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
    right, nats, after = inner(weights, symbols, targets, state, masks)
    return right, nats, _with_history(after, state, symbols)


class KeepsGraphInEvaluation(NumpyBackend):
    """The states that evaluation and prediction return refer to those before."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        inner = super().compile(function, consumes=consumes)
        if not isinstance(function, Forward | Predict):
            return inner

        def keeping(weights: Any, symbols: Any, *rest: Any) -> Any:
            state = next(each for each in rest if isinstance(each, State))
            result, after = inner(weights, symbols, *rest)
            return result, _with_history(after, state, symbols)

        return keeping


_LONG = ("gradients_span_the_whole_sequence",)
_MANY = ("gradients_of_70000_symbols",)

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, BackendClass, tuple[str, ...], str], ...] = (
    (
        "symbols in eight bits",
        symbols_as(np.uint8),
        ("symbols_of_a_large_vocabulary", "gradients_of_a_large_vocabulary"),
        "symbols taken modulo 256",
    ),
    (
        "targets in eight bits",
        targets_as(np.uint8),
        ("targets_of_a_large_vocabulary",),
        "targets taken modulo 256",
    ),
    (
        "the nats of one symbol squeezed",
        faults.loss(
            lambda inner, logits, targets: (
                inner(logits, targets)[0] if targets.size == 1 else inner(logits, targets)
            )
        ),
        ("nats_of_a_single_symbol",),
        "",
    ),
    ("symbols in fifteen bits", symbols_as(np.int16), _MANY, "stay int32"),
    ("symbols in sixteen bits", symbols_as(np.uint16), _MANY, "stay int32"),
    ("targets in sixteen bits", targets_as(np.uint16), _MANY, "stay int32"),
    *(
        (
            f"gradient truncated every {length} steps",
            cut_every(length),
            _LONG,
            f"truncated backpropagation (every {length} symbols)",
        )
        for length in (2, 16, 64, 128, 256)
    ),
    ("gradient truncated every 97 steps", cut_every(97), _LONG, "all time steps"),
    (
        "the upper layers in reverse order",
        faults.lstm(_upper_layers_reversed),
        ("eleven_layers", "masks_drop_every_layer"),
        "",
    ),
    (
        "a fixed beta1",
        always(beta1=OptimizerConfig().beta1),
        ("beta1_comes_from_the_configuration",),
        "a beta1 of 0.9 instead of 0.8",
    ),
    (
        "a fixed beta2",
        always(beta2=OptimizerConfig().beta2),
        ("beta2_comes_from_the_configuration",),
        "a beta2 of 0.999 instead of 0.95",
    ),
    (
        "a fixed epsilon",
        always(epsilon=OptimizerConfig().epsilon),
        ("epsilon_comes_from_the_configuration",),
        "an Adam epsilon of 1e-8 instead of 1e-4",
    ),
    ("weights matched by position", faults.lstm(_weights_by_position), ("weight_order_does_not_matter",), ""),
    (
        "gradients named by position",
        faults.gradients(_gradients_by_position),
        ("gradient_order_does_not_matter",),
        "",
    ),
    (
        "gradients matched by position",
        faults.optimizer(GradientsByPosition),
        ("arrays_are_joined_by_name",),
        "",
    ),
    ("moments matched by position", faults.optimizer(MomentsByPosition), ("arrays_are_joined_by_name",), ""),
    (
        "a graph kept between steps",
        faults.gradients(_keeping_graph),
        ("training_keeps_no_history",),
        "detach",
    ),
    (
        "a graph kept between batches",
        KeepsGraphInEvaluation,
        ("evaluation_keeps_no_history", "sampling_keeps_no_history"),
        "detach",
    ),
)
