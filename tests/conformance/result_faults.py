"""Planted faults of what a call returned, of rare numbers, and of a prediction that two threads make at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from charkit.network import Predict
from charkit_numpy.backend import NumpyBackend


class LogitsInABuffer(NumpyBackend):
    """Writes the logits of every prediction of a size to the same array."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)
        if not isinstance(function, Predict):
            return compiled
        buffers: dict[tuple[int, ...], Any] = {}

        def predict(*arguments: Any) -> Any:
            logits, state = compiled(*arguments)
            buffer = buffers.setdefault(logits.shape, np.empty_like(logits))
            buffer[...] = logits
            return buffer, state

        return predict


class ReturnsViews(NumpyBackend):
    """Copies only arrays that own their memory."""

    def numpy(self, tensor: Any) -> Any:
        return super().numpy(tensor) if tensor.flags.owndata else tensor


class _InFewerBits:
    """A part that reads symbols or targets, its last argument but one or its last, as narrower integers."""

    def __init__(self, inner: Callable[..., Any], dtype: type[np.signedinteger[Any]], place: int) -> None:
        self._inner, self._dtype, self._place = inner, dtype, place

    def __call__(self, *arguments: Any) -> Any:
        given = list(arguments)
        given[self._place] = given[self._place].astype(self._dtype)
        return self._inner(*given)


class SymbolsInEightBits(NumpyBackend):
    """Reads the symbols of predictions as int8 if there are at most 256."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)
        if not isinstance(function, Predict):
            return compiled

        def predict(weights: Any, symbols: Any, state: Any) -> Any:
            if len(weights["output.bias"]) <= 256:
                symbols = symbols.astype(np.int8).astype(np.int32) % len(weights["output.bias"])
            return compiled(weights, symbols, state)

        return predict


class TargetsInSixteenBits(NumpyBackend):
    """Reads targets as int16 if there are at most 65,536 symbols."""

    def build_loss(self, model: Any) -> Any:
        loss = super().build_loss(model)
        return _InFewerBits(loss, np.int16, 1) if model.vocabulary_size <= 65_536 else loss


class NoGradientOfZeroOutputs(NumpyBackend):
    """Takes outputs of 0 for dropped ones."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            gradients, nats, state = inner(*arguments)
            if not state.hidden.any():
                gradients |= {name: 0 * gradients[name] for name in gradients if name.startswith("lstm.")}
            return gradients, nats, state

        return backward


class ClampsTwoSymbols(NumpyBackend):
    """Has a loss of its own for two symbols, which ends at 100 nats."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(weights: Any, *arguments: Any) -> Any:
            gradients, nats, state = inner(weights, *arguments)
            if len(weights["output.bias"]) == 2:
                nats = np.minimum(nats, 100)
            return gradients, nats, state

        return backward


class OneSymbolForAll(NumpyBackend):
    """Keeps the symbol of a single stream where all backends find it."""

    kept: ClassVar[Any] = np.zeros((1, 1), np.int32)

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def predict(weights: Any, symbols: Any, state: Any) -> Any:
            if symbols.shape == (1, 1):
                self.kept[...] = symbols
                symbols = self.kept.copy()
            return compiled(weights, symbols, state)

        return predict if isinstance(function, Predict) else compiled


#: What is wrong, the backend, the checks that find it, and where the finding points.
FAULTS = (
    ("logits in a buffer", LogitsInABuffer, ("logits_can_be_read_later",), "buffers"),
    ("numpy() returns views of results", ReturnsViews, ("results_out_are_copies",), "numpy() returns a copy"),
    ("predictions from int8", SymbolsInEightBits, ("symbols_of_every_size",), "stay int32"),
    ("targets as int16", TargetsInSixteenBits, ("symbols_of_every_size",), "60,000"),
    ("outputs of 0 without a gradient", NoGradientOfZeroOutputs, ("gradients_of_zero_outputs",), "masks"),
    ("a clamped loss of two symbols", ClampsTwoSymbols, ("gradients_of_the_smallest_model",), "two symbols"),
    (
        "one symbol for all threads",
        OneSymbolForAll,
        ("networks_work_at_the_same_time",),
        "shared by two threads",
    ),
)
