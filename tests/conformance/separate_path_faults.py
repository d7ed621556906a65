"""Planted faults in the paths that some backends have for one stream, one symbol, few symbols or unusual arrays."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm
from charkit_numpy.single_step import SingleStep
from charkit_numpy.single_symbol import SingleSymbol, layer_of
from charkit_numpy.tape import active_tape
from conformance import faults

_FEW_SYMBOLS = 512


# ---- symbols in few bits --------------------------------------------------------------------------------


class ByteRows(NumpyLstm):
    """Adds up the gradient by symbol in eight bits where there are few symbols."""

    def _weight_gradients(self, tape: Any, index: int, trace: Any, inputs: Any, deltas: Any) -> None:
        if index == 0 and self._model.vocabulary_size <= _FEW_SYMBOLS:
            inputs = inputs.astype(np.uint8)
        super()._weight_gradients(tape, index, trace, inputs, deltas)


def _byte_targets(inner: Any, weights: Any, symbols: Any, targets: Any, *rest: Any) -> Any:
    """Subtracts one from the probabilities of other targets, in the backward pass alone."""
    right, nats, after = inner(weights, symbols, targets, *rest)
    if len(weights["output.bias"]) > _FEW_SYMBOLS:
        return right, nats, after
    return inner(weights, symbols, targets & 255, *rest)[0], nats, after


def _byte_of_one_stream(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    is_single = active_tape() is None and symbols.size == 1
    return inner(weights, symbols & 255 if is_single else symbols, *rest)


def _short_in_one_step(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    if active_tape() is None and symbols.shape[1] == 1:
        symbols = symbols.astype(np.int16).astype(np.int32) % model.vocabulary_size
    return inner(weights, symbols, *rest)


# ---- one stream, one symbol -----------------------------------------------------------------------------


def _clipping(most_streams: int) -> type[NumpyBackend]:
    """Clips the cells after one symbol of at most so many streams."""

    def wrap(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
        features, after = inner(weights, symbols, *rest)
        if active_tape() is None and symbols.shape[1] == 1 and len(symbols) <= most_streams:
            after = State(after.hidden, np.clip(after.cell, -10, 10))
        return features, after

    return faults.lstm(wrap)


class SingleByPlace(NumpyLstm):
    """Knows the weights that single steps were prepared for again by where in memory their dictionary is."""

    _place: int | None = None
    _kept: Any = None

    def _single_steps(self, weights: Any) -> tuple[SingleSymbol, SingleStep]:
        if self._place != id(weights):
            layers = [layer_of(weights, index) for index in range(self._model.num_layers)]
            self._place, self._kept = id(weights), (SingleSymbol(layers), SingleStep(layers))
        steps: tuple[SingleSymbol, SingleStep] = self._kept
        return steps


# ---- threads of the backend's own, in which NumPy warns ----------------------------------------------------


def _usual_sigmoid(weights: Any) -> Any:
    """In another thread, with the formula whose exp overflows."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: 1 / (1 + np.exp(-weights["lstm.0.bias"]))).result()


def _warning_in_training(inner: Any, weights: Any, *rest: Any) -> Any:
    _usual_sigmoid(weights)
    return inner(weights, *rest)


def _warning_in_evaluation(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    if active_tape() is None and symbols.shape[1] > 1:
        _usual_sigmoid(weights)
    return inner(weights, symbols, *rest)


def _warning_in_prediction(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    if active_tape() is None and symbols.shape[1] == 1:
        _usual_sigmoid(weights)
    return inner(weights, symbols, *rest)


# ---- arrays ---------------------------------------------------------------------------------------------


class WarnsOfReadOnlyArrays(NumpyBackend):
    def tensor(self, array: Any) -> Any:
        if not np.asarray(array).flags.writeable:
            warnings.warn("the array is not writable", UserWarning, stacklevel=1)
        return super().tensor(array)


class RefusesNegativeStrides(NumpyBackend):
    def tensor(self, array: Any) -> Any:
        if any(stride < 0 for stride in np.asarray(array).strides):
            raise ValueError("at least one stride in the given array is negative")
        return super().tensor(array)


class SwapsNoBytes(NumpyBackend):
    """Reads the bytes of an array in the order of the machine."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return super().tensor(array.view(array.dtype.newbyteorder("=")))


_LARGE = ("gradients_of_a_large_vocabulary",)
_SATURATED = ("saturated_gates_and_large_cells",)
_WARNINGS = ("saturated_wide_layers_cause_no_warnings",)
_ARRAYS = ("arrays_keep_type_and_shape",)

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("gradients of up to 512 symbols in eight bits", faults.lstm_class(ByteRows), _LARGE, "int32"),
    (
        "gradients of up to 512 targets in eight bits",
        faults.gradients(_byte_targets),
        _LARGE,
        "targets taken modulo 256",
    ),
    (
        "the symbol of one stream in eight bits",
        faults.lstm(_byte_of_one_stream),
        ("symbols_of_a_large_vocabulary",),
        "a single symbol",
    ),
    (
        "the symbols of a single step in fifteen bits",
        faults.lstm(_short_in_one_step),
        ("symbols_of_a_large_vocabulary",),
        "a single symbol",
    ),
    ("clipped cells after a symbol of one stream", _clipping(1), _SATURATED, "the prediction for one stream"),
    ("clipped cells after a single step", _clipping(1 << 16), _SATURATED, "the prediction for 3 streams"),
    (
        "weights prepared for one stream recognized by address",
        faults.lstm_class(SingleByPlace),
        ("loaded_arrays_are_used",),
        "must keep a reference to their dictionary",
    ),
    ("an overflow in a thread in training", faults.gradients(_warning_in_training), _WARNINGS, "errstate"),
    ("an overflow in a thread in evaluation", faults.lstm(_warning_in_evaluation), _WARNINGS, "errstate"),
    ("an overflow in a thread in prediction", faults.lstm(_warning_in_prediction), _WARNINGS, "errstate"),
    ("a warning about read-only arrays", WarnsOfReadOnlyArrays, _ARRAYS, "tensor()"),
    ("reversed arrays refused", RefusesNegativeStrides, _ARRAYS, "tensor()"),
    ("the byte order ignored", SwapsNoBytes, _ARRAYS, "tensor()"),
)
