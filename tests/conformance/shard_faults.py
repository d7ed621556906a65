"""Planted faults of backends that divide batches between threads, and must not divide shards."""

from __future__ import annotations

from typing import Any

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend


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
)
