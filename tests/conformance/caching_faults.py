"""Planted faults of caches and reused buffers, and of special code paths."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm, _prepare_layer
from charkit_numpy.output import NumpyOutput
from charkit_numpy.tape import active_tape
from conformance import faults, optimizer_faults

# ---- caches and buffers -----------------------------------------------------------------------------------


class _Ring:
    """So many buffers that are handed out in turn."""

    def __init__(self, length: int) -> None:
        self._buffers: list[Any] = [None] * length

    def kept(self, array: Any) -> Any:
        """The array's numbers in the buffer whose turn it is."""
        buffer = self._buffers.pop(0)
        buffer = np.empty_like(array) if buffer is None or buffer.shape != array.shape else buffer
        buffer[...] = array
        self._buffers.append(buffer)
        return buffer


class NatsInARing(NumpyBackend):
    """Returns nats in one of eight buffers."""

    def differentiate(self, forward: Any) -> Any:
        inner, ring = super().differentiate(forward), _Ring(8)

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            return gradients, ring.kept(nats), after

        return backward


class NatsOfOneStreamInARing(NumpyBackend):
    """Returns the nats of one stream in one of eight buffers."""

    def differentiate(self, forward: Any) -> Any:
        inner, ring = super().differentiate(forward), _Ring(8)

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            return gradients, ring.kept(nats) if len(nats) == 1 else nats, after

        return backward


class KeepsOptimizersByHash(NumpyBackend):
    """Makes one optimizer for all configurations whose numbers have the same hash."""

    _made: ClassVar[dict[int, Any]] = {}

    def build_optimizer(self, optimizer: Any) -> Any:
        key = hash((self.precision, *optimizer.model_dump().values()))
        return self._made.setdefault(key, super().build_optimizer(optimizer))


class HalfWhereTheNormIsZero(optimizer_faults.Adam):
    """Halves the gradients where their norm is 0, as if all of them were."""

    def clip(self, gradient: Any, norm: float) -> Any:
        return super().clip(gradient, norm) if norm > 0 else 0.5 * gradient


class StatesInARing(NumpyBackend):
    """Returns cells in one of eight buffers, outside of training."""

    def build_lstm(self, model: Any) -> Any:
        inner, ring = super().build_lstm(model), _Ring(8)

        def lstm(*arguments: Any) -> Any:
            features, after = inner(*arguments)
            return features, State(after.hidden, ring.kept(after.cell))

        return lstm


class PreparedByBias(NumpyLstm):
    """Knows prepared weights again by the bias of layer 0."""

    _bias: Any = None
    _layers: Any = None

    def _prepare(self, weights: Any) -> Any:
        if not np.array_equal(self._bias, weights["lstm.0.bias"]):
            self._bias = weights["lstm.0.bias"].copy()
            self._layers = [_prepare_layer(weights, index) for index in range(self._model.num_layers)]
        return self._layers


class OutputByIdentity(NumpyBackend):
    """Keeps a copy of the output weights for evaluation until the array is another object."""

    def build_output(self, model: Any) -> Any:
        inner, kept = NumpyOutput(model), [None, None]

        def output(weights: Any, features: Any) -> Any:
            weight = weights["output.weight"]
            if active_tape() is not None:
                return inner(weights, features)
            if kept[0] is not weight:
                kept[:] = weight, weight.copy()
            return inner({**weights, "output.weight": kept[1]}, features)

        return output


# ---- layouts and code paths ---------------------------------------------------------------------------------


def _square_weight(inner: Any, weights: Any, features: Any) -> Any:
    """Takes a square weight for one of the other layout."""
    weight = weights["output.weight"]
    turned = np.ascontiguousarray(weight.T) if weight.shape[0] == weight.shape[1] else weight
    return inner({**weights, "output.weight": turned}, features)


def _one_stream_in_place(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Writes the new state of a single stream over the old one."""
    features, after = inner(weights, symbols, state, masks)
    if active_tape() is None and symbols.size == 1:
        state.hidden[...], state.cell[...] = after
        return features, state
    return features, after


def _four_units_of_one_stream(
    inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any
) -> Any:
    """For a single symbol, computes as many units as there are gates."""
    features, after = inner(weights, symbols, state, masks)
    if active_tape() is None and symbols.size == 1:
        features[..., 4:] = 0
    return features, after


class LastPlaceOfRareSymbols(NumpyLstm):
    """Of a large vocabulary, gives a symbol the gradient of the last place where it stands."""

    def _weight_gradients(self, tape: Any, index: int, trace: Any, inputs: Any, deltas: Any) -> None:
        super()._weight_gradients(tape, index, trace, inputs, deltas)
        if index == 0 and self._model.vocabulary_size > 512:
            columns = tape.gradients["lstm.0.weight_ih"].reshape(4, -1, self._model.vocabulary_size)
            for position, gate in enumerate((2, 0, 1, 3)):
                columns[gate].T[inputs.ravel()] = deltas[position].reshape(-1, deltas.shape[-1])


class ClearsByZero(NumpyBackend):
    """Clears what the last call left by a multiplication with zero."""

    def differentiate(self, forward: Any) -> Any:
        inner, kept = super().differentiate(forward), [np.float32(0.0)]

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            gradients["output.bias"] = gradients["output.bias"] + 0 * kept[0]
            kept[0] = gradients["output.bias"].sum()
            return gradients, nats, after

        return backward


class SharesStates(NumpyBackend):
    """Returns hidden states of all its networks in two buffers in turn."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._ring = _Ring(2)

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            return gradients, nats, State(self._ring.kept(after.hidden), after.cell)

        return backward


class RateFloor(optimizer_faults.Adam):
    """Takes learning rates below 1e-5 for 1e-5."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        least = np.asarray(1e-5, rates.learning_rate.dtype)
        rate = np.maximum(rates.learning_rate, least) if rates.learning_rate > 0 else rates.learning_rate
        return super().__call__(weights, moments, gradients, rates._replace(learning_rate=rate))


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("nats in reused buffers", NatsInARing, ("results_can_be_read_later",), "buffers"),
    (
        "nats of one stream in reused buffers",
        NatsOfOneStreamInARing,
        ("results_of_one_stream_can_be_read_later",),
        "loss.py",
    ),
    ("states in reused buffers", StatesInARing, ("states_can_be_read_later",), "buffers"),
    (
        "cached weights recognized by a bias",
        faults.lstm_class(PreparedByBias),
        ("other_weights_give_other_logits",),
        "cached",
    ),
    (
        "cached weights recognized by identity",
        OutputByIdentity,
        ("evaluation_does_not_affect_training", "evaluation_uses_the_latest_weights"),
        "in place",
    ),
    (
        "a square weight transposed",
        faults.output(_square_weight),
        ("gradients_where_all_axes_are_equal",),
        "shape",
    ),
    (
        "the state of one stream overwritten",
        faults.lstm(_one_stream_in_place),
        ("state_is_not_consumed",),
        "writes to the given state",
    ),
    (
        "only four units for a single symbol",
        faults.lstm(_four_units_of_one_stream),
        ("batch_of_one_and_single_step",),
        "lstm.py",
    ),
    (
        "only the last position of a rare symbol",
        faults.lstm_class(LastPlaceOfRareSymbols),
        ("gradients_of_a_large_vocabulary",),
        "a gather's gradient that overwrites",
    ),
    ("NaN that affects later steps", ClearsByZero, ("not_finite_is_reported",), "0 * NaN"),
    ("states shared between networks", SharesStates, ("precisions_work_side_by_side",), "share"),
    (
        "optimizers cached by hash",
        KeepsOptimizersByHash,
        ("optimizers_side_by_side",),
        "backend.py: what is compiled or cached per configuration",
    ),
    (
        "gradients halved at a norm of zero",
        faults.optimizer(HalfWhereTheNormIsZero),
        ("gradients_whose_squares_underflow",),
        "if the norm is 0",
    ),
    ("a minimum learning rate", faults.optimizer(RateFloor), ("learning_rate_follows_the_schedule",), ""),
)
