"""Planted faults that show beyond some size or setting alone, after a step, or in what a backend leaves behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.tape import active_tape
from conformance import faults, optimizer_faults

_BLOCK_STEPS, _BLOCK_ROWS, _MANY_SYMBOLS = 64, 8192, 1024
#: What eight bits of a sum hold of equal terms.
_STALLS_AT = 256
_LARGEST_FLOAT16 = 65_504.0


def _upper_layers_of_one_symbol(inner: Any, model: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """Leaves out the bias of layer 2 where one symbol of one sequence is predicted."""
    if symbols.size == 1 and active_tape() is None and model.num_layers > 2:
        weights = {**weights, "lstm.2.bias": np.zeros_like(weights["lstm.2.bias"])}
    return inner(weights, symbols, *rest)


def _whole_blocks(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Outside of training, returns the state after the last whole block of time steps."""
    features, after = inner(weights, symbols, state, masks)
    whole = symbols.shape[1] // _BLOCK_STEPS * _BLOCK_STEPS
    if active_tape() is None and 0 < whole < symbols.shape[1]:
        _, after = inner(weights, np.ascontiguousarray(symbols[:, :whole]), state, masks)
    return features, State(after.hidden.copy(), after.cell.copy())


def _low_dropout_is_none(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Takes a dropout below a hundredth for none."""
    return inner(weights, symbols, state, None if model.dropout < 0.01 else masks)


def _scales_without_masks(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Scales in every gradient of a model with dropout, masks or not."""
    if masks is None and model.dropout and active_tape() is not None:
        masks = np.ones((model.num_layers, *symbols.shape, model.lstm_size), np.bool_)
    return inner(weights, symbols, state, masks)


def _pads_with_the_first_symbol(right: dict[str, Any], symbols: Any) -> dict[str, Any]:
    """Gives the first symbol of a large vocabulary no gradient, as a padding index has none."""
    gradient = right["lstm.0.weight_ih"].copy()
    if gradient.shape[1] > _MANY_SYMBOLS:
        gradient[:, 0] = 0.0
    return right | {"lstm.0.weight_ih": gradient}


def _drops_the_last_rows(right: dict[str, Any], symbols: Any) -> dict[str, Any]:
    """Sums the gradient of the output's weights over whole blocks of rows."""
    whole = symbols.size // _BLOCK_ROWS * _BLOCK_ROWS
    share = whole / symbols.size if whole else 1.0
    return right | {"output.weight": right["output.weight"] * np.float32(share)}


class _Bfloat16(NumpyBackend):
    """Declares bfloat16, and computes it in float32."""

    precisions = frozenset({"float32", "bfloat16"})


class StallingSums(_Bfloat16):
    """Adds up the gradient by symbol in eight bits, so that a frequent one gets a part of it."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(weights: Any, symbols: Any, *rest: Any) -> Any:
            gradients, nats, after = inner(weights, symbols, *rest)
            counts = np.bincount(symbols.ravel(), minlength=gradients["lstm.0.weight_ih"].shape[1])
            kept = np.minimum(1.0, _STALLS_AT / np.maximum(counts, 1)).astype(np.float32)
            return gradients | {"lstm.0.weight_ih": gradients["lstm.0.weight_ih"] * kept}, nats, after

        return backward


class StallingLookups(StallingSums):
    """Does so only where there are more symbols than gates, whose columns are looked up."""

    def differentiate(self, forward: Any) -> Any:
        right, stalling = NumpyBackend.differentiate(self, forward), super().differentiate(forward)

        def backward(weights: Any, *rest: Any) -> Any:
            gates, symbols = weights["lstm.0.weight_ih"].shape
            return (stalling if symbols > gates else right)(weights, *rest)

        return backward


class RangeOfFloat16(_Bfloat16):
    """Has float16 for bfloat16, where large logits are infinite."""

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(*arguments: Any) -> Any:
            logits = inner(*arguments)
            return np.where(np.abs(logits) > _LARGEST_FLOAT16, np.sign(logits) * np.float32(np.inf), logits)

        return output


class HistoryAfterAStep(NumpyBackend):
    """Keeps what evaluation computes once a training step was made."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._kept: list[Any] = []
        self._trained = False

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            self._trained = True
            return inner(*arguments)

        return backward

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(weights: Any, symbols: Any, *rest: Any) -> Any:
            if self._trained and active_tape() is None:
                self._kept.append(np.ones((symbols.size, 8 * model.lstm_size), np.float32))
            return inner(weights, symbols, *rest)

        return lstm


class WaitingThread(NumpyBackend):
    """Begins a thread that waits for work as long as the process lives."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class BoundedRate(optimizer_faults.Adam):
    """Takes no learning rate above 1."""

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return super().change(
            mean, square, rates._replace(learning_rate=np.minimum(rates.learning_rate, 1.0))
        )


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "a missing upper bias for a single symbol",
        faults.lstm(_upper_layers_of_one_symbol),
        ("predictions_after_other_numbers_of_streams",),
        "",
    ),
    (
        "the state after the last whole block",
        faults.lstm(_whole_blocks),
        ("long_sequences_are_scored",),
        "blocks",
    ),
    (
        "a low dropout treated as none",
        faults.lstm(_low_dropout_is_none),
        ("gradients_with_a_low_dropout",),
        "masks",
    ),
    (
        "scaling without masks",
        faults.lstm(_scales_without_masks),
        ("gradients_of_a_single_sequence",),
        "dropout",
    ),
    (
        "the first symbol used for padding",
        faults.returned_gradients(_pads_with_the_first_symbol),
        ("gradients_of_70000_symbols",),
        "int32",
    ),
    (
        "rows of an incomplete block dropped",
        faults.returned_gradients(_drops_the_last_rows),
        ("gradients_of_many_sequences",),
        "in blocks",
    ),
    ("sums that stall in bfloat16", StallingSums, ("gradients_of_a_frequent_symbol",), "sums"),
    (
        "sums of looked-up columns that stall in bfloat16",
        StallingLookups,
        ("gradients_of_a_frequent_symbol",),
        "per symbol",
    ),
    ("float16 instead of bfloat16", RangeOfFloat16, ("distant_logits_do_not_underflow",), ""),
    (
        "a history recorded after a step",
        HistoryAfterAStep,
        ("evaluation_keeps_no_history", "sampling_keeps_no_history"),
        "detach",
    ),
    ("a leaked thread per backend", WaitingThread, ("backends_are_released",), "starts"),
    (
        "a maximum learning rate",
        faults.optimizer(BoundedRate),
        ("learning_rate_follows_the_schedule",),
        "Rates",
    ),
)
