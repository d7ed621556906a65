"""Planted faults that only show beyond toys: rows far apart, large arrays, and after a call that failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments, Rates
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.optimizer import NumpyOptimizer
from charkit_numpy.tape import active_tape
from conformance import faults

_LARGE = 1 << 14
_MANY_MULTIPLICATIONS = 10e6


def highest_of_all_rows(inner: Any, logits: Any, targets: Any) -> Any:
    """A loss that subtracts the highest logit of the batch, so that rows far below it come out as log 0."""
    rows = logits.reshape(-1, logits.shape[-1])
    shifted = rows - rows.max()
    with np.errstate(divide="ignore"):
        totals = np.log(np.exp(shifted).sum(axis=1))
    nats = totals - shifted[np.arange(len(rows)), targets.T.ravel()]
    return nats.reshape(targets.T.shape).T


def halves_swapped(inner: Any, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """Outside of training, the states of halves of large batches in the wrong order."""
    features, after = inner(weights, symbols, state, masks)
    if active_tape() is not None or symbols.size * model.lstm_size**2 < _MANY_MULTIPLICATIONS:
        return features, after
    return features, type(after)(*(np.roll(array, len(symbols) // 2, axis=1) for array in after))


def gradient_of_the_first_part(right: dict[str, Any], symbols: Any) -> dict[str, Any]:
    """The gradient of a batch of more than a thousand symbols with one array that misses a part of it."""
    return right | {"lstm.0.weight_hh": 0.99 * right["lstm.0.weight_hh"]} if symbols.size > 1000 else right


class FirstChunkOnly(NumpyOptimizer):
    """Leaves the elements of large weights alone that lie beyond the first chunk."""

    def __call__(self, weights: Any, moments: Moments[Any], gradients: Any, rates: Rates[Any]) -> Any:
        before = {name: weight.ravel()[_LARGE:].copy() for name, weight in weights.items()}
        after, moments, norm = super().__call__(weights, moments, gradients, rates)
        for name, rest in before.items():
            after[name].reshape(-1)[_LARGE:] = rest
        return after, moments, norm


class KeepsAFailedCall(NumpyBackend):
    """Adds up gradients that a call left behind which did not come to its end."""

    def differentiate(self, forward: Any) -> Any:
        inner, unfinished = super().differentiate(forward), []

        def backward(*arguments: Any) -> Any:
            unfinished.append(True)
            gradients, nats, state = inner(*arguments)
            doubled = {name: len(unfinished) * gradient for name, gradient in gradients.items()}
            unfinished.clear()
            return doubled, nats, state

        return backward


_EVER_MORE: list[Any] = []


def remembers(inner: Any, *arguments: Any) -> Any:
    """A projection that keeps a function for every call, as a tape does that is never emptied."""
    _EVER_MORE.append(lambda: inner)
    return inner(*arguments)


class Graphed(np.ndarray[Any, Any]):
    """An array that refers to the graph that made it."""

    graph: Any = None


def nats_with_graph(inner: Any, weights: Any, symbols: Any, *rest: Any) -> Any:
    """Nats that keep their graph, which a caller who keeps the losses of many steps then keeps, too."""
    gradients, nats, after = inner(weights, symbols, *rest)
    kept = nats.view(Graphed)
    kept.graph = np.ones((*symbols.shape, 4 * after.hidden.shape[-1]), np.float32)
    return gradients, kept, after


#: What is wrong, the backend, and the check that finds it.
FAULTS = (
    (
        "the maximum of all rows subtracted",
        faults.loss(highest_of_all_rows),
        ("distant_logits_do_not_underflow",),
        "an underflow: the maximum of all logits is subtracted",
    ),
    (
        "a gradient of the first part only",
        faults.returned_gradients(gradient_of_the_first_part),
        ("gradients_at_a_realistic_size",),
    ),
    (
        "halves of large batches that are joined in the wrong order",
        faults.lstm(halves_swapped),
        ("gradients_at_a_realistic_size",),
        "divided into parts",
    ),
    ("an update of the first chunk only", faults.optimizer(FirstChunkOnly), ("update_at_a_realistic_size",)),
    ("intermediate results left by a failed call", KeepsAFailedCall, ("gradients_after_a_failed_call",)),
    ("nats that keep their graph", faults.gradients(nats_with_graph), ("training_keeps_no_history",)),
    ("objects leaked by every call", faults.output(remembers), ("calls_leak_no_objects",)),
)
