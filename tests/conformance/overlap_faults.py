"""Planted faults of what two threads share, of sizes and of extreme logits, and of what a failed step leaves."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np

from charkit.weights import decays
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.tape import active_tape
from conformance import faults
from conformance.bfloat16_faults import rounded

_FEATURES: dict[tuple[int, ...], Any] = {}
_SQUARES: dict[tuple[int, ...], Any] = {}
_SYMBOLS: dict[tuple[int, ...], Any] = {}
_HALVES: dict[tuple[int, ...], Any] = {}
_LONG = _MANY = 1024
_STREAMS = 16
_WIDE = 512


def features_in_one_place(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """Outside of training, layer outputs in an array that all networks share, by its shape."""
    features, state = inner(weights, symbols, *rest)
    if active_tape() is not None:
        return features, state
    shared = _FEATURES.setdefault(features.shape, np.empty_like(features))
    shared[...] = features
    return shared, state


def symbols_in_one_place(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """Outside of training, symbols in an array that all networks share, by its shape."""
    if active_tape() is not None:
        return inner(weights, symbols, *rest)
    shared = _SYMBOLS.setdefault(symbols.shape, np.empty_like(symbols))
    shared[...] = symbols
    return inner(weights, shared, *rest)


def halves_in_one_place(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """One time step of many streams in an array that both threads of a call use, if each has as many streams."""
    features, state = inner(weights, symbols, *rest)
    if len(symbols) < _STREAMS or symbols.shape[1] > 1:
        return features, state
    shared = _HALVES.setdefault(features.shape, np.empty_like(features))
    shared[...] = features
    return shared.copy(), state


def _in_one_place(symbols: Any) -> Any:
    shared = _SYMBOLS.setdefault(symbols.shape, np.empty_like(symbols))
    shared[...] = symbols
    return shared


def symbols_in_one_place_for_a_moment(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """Symbols in an array that all networks share, by its shape, within one line."""
    return inner(weights, _in_one_place(symbols).copy(), *rest)


def wide_layers_in_bfloat16(inner: Any, model: Any, weights: Any, *rest: Any) -> Any:
    """Outside of training, the weights of wide layers with the digits of bfloat16."""
    if active_tape() is not None or model.lstm_size < _WIDE:
        return inner(weights, *rest)
    return inner({name: rounded(array) for name, array in weights.items()}, *rest)


def maximum_of_few(inner: Any, logits: Any, targets: Any) -> Any:
    """Subtracts no maximum from many logits: their exp may overflow."""
    nats = inner(logits, targets)
    if logits.shape[-1] > _MANY and logits.max() > np.log(np.finfo(logits.dtype).max):
        return np.full_like(nats, np.inf)
    return nats


class SquaresInOnePlace:
    """Gradients are squared in an array that all optimizers share, by its shape."""

    def __init__(self, config: Any) -> None:
        self._inner = NumpyOptimizer(config)

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        copies = {}
        for name, gradient in gradients.items():
            copies[name] = _SQUARES.setdefault(gradient.shape, np.empty_like(gradient))
            copies[name][...] = gradient
        return self._inner(weights, moments, copies, rates)


class KeepsOneTransposedMatrix:
    """Keeps the output matrix, transposed, for one stream, by the array, which a step updates in place."""

    def __init__(self) -> None:
        self.kept: tuple[Any, Any] = (None, None)

    def __call__(self, inner: Any, weights: Any, features: Any) -> Any:
        if len(features) > 1 or active_tape() is not None:
            return inner(weights, features)
        weight = weights["output.weight"]
        if self.kept[0] is not weight:
            self.kept = weight, weight.T.copy()
        return inner(weights | {"output.weight": self.kept[1].T}, features)


class TransposesOnce(NumpyBackend):
    def build_output(self, model: Any) -> Any:
        inner, kept = super().build_output(model), KeepsOneTransposedMatrix()
        return lambda weights, features: kept(inner, weights, features)


def in_blocks_without_state(
    inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any = None
) -> Any:
    """Evaluates long sequences in blocks, each from the first state."""
    if symbols.shape[1] <= _LONG or active_tape() is not None:
        return inner(weights, symbols, state, masks)
    starts = range(0, symbols.shape[1], _LONG)
    blocks = [inner(weights, symbols[:, start : start + _LONG], state, None) for start in starts]
    return np.concatenate([np.array(features) for features, _ in blocks]), blocks[-1][1]


def maximum_or_zero(inner: Any, logits: Any, targets: Any) -> Any:
    """Subtracts the maximum only where it is positive: exp of logits that are all low is zero."""
    lowest = np.log(np.finfo(logits.dtype).tiny)
    nats = inner(logits, targets)
    if (logits.reshape(targets.size, -1).max(axis=1) < lowest).any():
        return np.full_like(nats, np.inf)
    return nats


class DecaysByAxes:
    """Decays arrays that have two axes of more than one element."""

    def __init__(self, config: Any) -> None:
        self._inner, self._plain = (
            NumpyOptimizer(config),
            NumpyOptimizer(config.model_copy(update={"weight_decay": 0.0})),
        )

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        flat = {name for name in weights if decays(name) and weights[name].squeeze().ndim < 2}
        if not flat:
            return self._inner(weights, moments, gradients, rates)
        return self._plain(weights, moments, gradients, rates)


class DecayingByAxes(NumpyBackend):
    def build_optimizer(self, optimizer: Any) -> Any:
        return DecaysByAxes(optimizer)


class RecordsAfterAFailure(NumpyBackend):
    """Keeps recording after a step that Ctrl-C ended."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            self.records = []
            try:
                result = inner(*arguments)
            except Exception:
                del self.records
                raise
            del self.records
            return result

        return backward

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(*arguments: Any) -> Any:
            if hasattr(self, "records"):
                self.records.append([arguments])
            return inner(*arguments)

        return lstm


class SwitchesWithoutALock(NumpyBackend):
    """Lets threads take turns more often in training, and puts it back when the last network has ended."""

    _training: ClassVar[list[Any]] = []
    _before: ClassVar[list[float]] = [0.0]

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            if not self._training:
                self._before[0] = sys.getswitchinterval()
            self._training.append(self)
            sys.setswitchinterval(0.001)
            try:
                return inner(*arguments)
            finally:
                self._training.remove(self)
                if not self._training:
                    sys.setswitchinterval(self._before[0])

        return backward


#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "layer outputs in an array that all threads share",
        faults.lstm(features_in_one_place),
        ("networks_work_at_the_same_time",),
        "shared by two threads",
    ),
    (
        "symbols in an array that all threads share",
        faults.lstm(symbols_in_one_place),
        ("networks_work_at_the_same_time",),
        "shared by two threads",
    ),
    (
        "a setting that is changed and put back without a lock",
        SwitchesWithoutALock,
        ("networks_are_interrupted",),
        "a lock that all backends share",
    ),
    (
        "wide layers in bfloat16 outside of training",
        faults.lstm(wide_layers_in_bfloat16),
        ("wide_layers_are_scored",),
        "wide layers",
    ),
    (
        "the maximum not subtracted if there are many logits",
        faults.loss(maximum_of_few),
        ("gradients_of_70000_symbols",),
        "however long the row is",
    ),
    (
        "symbols in an array that all threads share within one line",
        faults.lstm(symbols_in_one_place_for_a_moment),
        ("networks_work_at_the_same_time",),
        "shared by two threads",
    ),
    (
        "an array that both halves of a call write to",
        faults.lstm(halves_in_one_place),
        ("threads_of_a_call_work_at_the_same_time",),
        "arrays of its own",
    ),
    (
        "squares in an array that all threads share",
        faults.optimizer(SquaresInOnePlace),
        ("optimizers_work_at_the_same_time",),
        "shared by two threads",
    ),
    (
        "an output matrix that is cached for one stream and recognized by its array",
        TransposesOnce,
        ("evaluation_uses_the_latest_weights",),
        "the update may be in place",
    ),
    (
        "long sequences in blocks without their state",
        faults.lstm(in_blocks_without_state),
        ("long_sequences_are_scored",),
        "processed in blocks",
    ),
    (
        "a maximum that is subtracted only if it is positive",
        faults.loss(maximum_or_zero),
        ("extreme_logits_do_not_overflow",),
        "for logits of any magnitude, here from about",
    ),
    (
        "weight decay applied according to the number of axes",
        DecayingByAxes,
        ("weight_decay_of_eleven_layers",),
        "determines which arrays decay",
    ),
    (
        "a recording that goes on after a failed step",
        RecordsAfterAFailure,
        ("calls_leak_no_objects",),
        "a failed call",
    ),
)
