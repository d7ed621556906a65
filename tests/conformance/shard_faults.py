"""Planted faults of backends that divide batches between threads, and must not divide shards."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from charkit.backend import State
from charkit.network import Predict
from charkit_numpy.backend import NumpyBackend

#: From so many sequences on, the backends below divide a batch.
_MANY = 32
#: From so many multiplications on, one divides the prediction of a single symbol for each stream.
_MUCH_WORK = 100e6


class FirstHalfOfShards(NumpyBackend):
    """Computes the gradient of a shard from the first half of its sequences."""

    def differentiate(self, forward: Any) -> Any:
        backward = super().differentiate(forward)

        def wrong(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
            gradients, nats, after = backward(weights, symbols, targets, state, masks)
            if self.divides_batches:
                return gradients, nats, after
            half = (len(symbols) + 1) // 2
            first = State(state.hidden[:, :half], state.cell[:, :half])
            some_masks = None if masks is None else masks[:, :half]
            return backward(weights, symbols[:half], targets[:half], first, some_masks)[0], nats, after

        return wrong


class DividesAsAtFirst(NumpyBackend):
    """Divides shards if it could divide batches when it was asked for gradients."""

    def differentiate(self, forward: Any) -> Any:
        backward, divides = super().differentiate(forward), self.divides_batches

        def wrong(*batch: Any) -> Any:
            now, self.divides_batches = self.divides_batches, divides
            try:
                return backward(*batch)
            finally:
                self.divides_batches = now

        return wrong


class DividesLargeShardsAsAtFirst(NumpyBackend):
    """Does so only with many sequences; fewer are never divided for long enough to matter."""

    def differentiate(self, forward: Any) -> Any:
        backward, divides = super().differentiate(forward), self.divides_batches

        def wrong(weights: Any, symbols: Any, *rest: Any) -> Any:
            now = self.divides_batches
            self.divides_batches = divides if len(symbols) >= _MANY else now
            try:
                return backward(weights, symbols, *rest)
            finally:
                self.divides_batches = now

        return wrong


class HalvesThatCountEqually(NumpyBackend):
    """Takes the mean of the gradients of both halves of many sequences, although one has a sequence more."""

    def differentiate(self, forward: Any) -> Any:
        backward = super().differentiate(forward)

        def wrong(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
            gradients, nats, after = backward(weights, symbols, targets, state, masks)
            if len(symbols) < _MANY:
                return gradients, nats, after
            halves = [
                backward(
                    weights,
                    symbols[part],
                    targets[part],
                    State(state.hidden[:, part], state.cell[:, part]),
                    None if masks is None else masks[:, part],
                )[0]
                for part in (slice(len(symbols) // 2), slice(len(symbols) // 2, None))
            ]
            return {name: (halves[0][name] + halves[1][name]) / 2 for name in gradients}, nats, after

        return wrong


class SharesAnArrayBetweenEqualHalves(NumpyBackend):
    """Both halves of a large batch write their losses to one array if they have the same shape."""

    def differentiate(self, forward: Any) -> Any:
        backward = super().differentiate(forward)

        def wrong(weights: Any, symbols: Any, *rest: Any) -> Any:
            gradients, nats, after = backward(weights, symbols, *rest)
            half, remainder = divmod(len(symbols), 2)
            if len(symbols) >= _MANY and not remainder:
                nats = np.concatenate([nats[half:], nats[half:]])
            return gradients, nats, after

        return wrong


class TriesTwoWays(NumpyBackend):
    """Divides a large batch or not, by which of the two took less time at first."""

    def differentiate(self, forward: Any) -> Any:
        backward = super().differentiate(forward)
        seconds: dict[bool, float] = {}

        def wrong(weights: Any, symbols: Any, *rest: Any) -> Any:
            if len(symbols) < _MANY or not self.divides_batches:
                return backward(weights, symbols, *rest)
            divides = len(seconds) == 0 if len(seconds) < 2 else seconds[True] < seconds[False]
            self.divides_batches, start = divides, perf_counter()
            try:
                return backward(weights, symbols, *rest)
            finally:
                self.divides_batches = True
                seconds.setdefault(divides, perf_counter() - start)

        return wrong


class JoinsHalvesInTheWrongOrder(NumpyBackend):
    """Joins both halves of the predictions for many streams of a wide layer, the second half first."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        compiled: Any = super().compile(function, consumes=consumes)
        if not isinstance(function, Predict):
            return compiled

        def wrong(weights: Any, symbols: Any, state: Any) -> Any:
            logits, after = compiled(weights, symbols, state)
            if symbols.size * weights["lstm.0.weight_hh"].size < _MUCH_WORK:
                return logits, after
            middle = (len(symbols) + 1) // 2
            return np.concatenate([logits[:, middle:], logits[:, :middle]], axis=1), after

        return wrong


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "only half of a shard computed",
        FirstHalfOfShards,
        ("gradients_of_undivided_batches",),
        "divides_batches is False",
    ),
    (
        "divides_batches read only once",
        DividesAsAtFirst,
        ("gradients_of_undivided_batches",),
        "in each call",
    ),
    (
        "divides_batches read only once for large batches",
        DividesLargeShardsAsAtFirst,
        ("gradients_of_undivided_batches",),
        "in each call",
    ),
    (
        "an array that equal halves of a large batch share",
        SharesAnArrayBetweenEqualHalves,
        ("repeated_gradients_are_identical",),
        "arrays that two threads share",
    ),
    (
        "batches divided or not by measured time",
        TriesTwoWays,
        ("repeated_gradients_are_identical",),
        "by time or by chance",
    ),
    (
        "halves of many predictions joined in the wrong order",
        JoinsHalvesInTheWrongOrder,
        ("wide_layers_are_scored",),
        "wide layers",
    ),
    (
        "halves of large batches that count equally",
        HalvesThatCountEqually,
        ("gradients_at_a_realistic_size",),
        "processed in blocks",
    ),
)
