"""Gates in another order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Ints, Oracle

KNOWN_ORDERS = {"igfo": "TF1's", "iofg": "ONNX's"}


def _blocks(arrays: Arrays, order: str, into: str) -> Arrays:
    """The LSTM's arrays with the gate blocks of ``order`` rearranged to those of ``into``."""
    moved = dict(arrays)
    for name, array in arrays.items():
        if name.startswith("lstm."):
            block = dict(zip(order, np.split(array, 4), strict=True))
            moved[name] = np.concatenate([block[gate] for gate in into])
    return moved


def gate_orders() -> Iterator[Mistake]:
    """Every wrong order of the gates, of weights and of gradients."""
    for letters in permutations("ifgo"):
        order = "".join(letters)
        if order == "ifgo":
            continue
        known = f" ({KNOWN_ORDERS[order]})" if order in KNOWN_ORDERS else ""
        spaced = ", ".join(order)
        yield Mistake(
            f"the wrong gate order: weights read as {spaced}{known}",
            "lstm.py: the gates are i, f, g, o",
            _reading(order),
        )
        yield Mistake(
            f"the wrong gate order in the gradients: {spaced}{known}",
            "lstm.py, or differentiate() in backend.py: gradients have the gates in the order i, f, g, o",
            _returning(order),
        )


def _reading(order: str) -> type[Oracle]:
    class Reading(Wrapped):
        def weights_in(self, weights: Arrays) -> Arrays:
            return _blocks(weights, order, "ifgo")

        def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
            return _blocks(gradients, "ifgo", order)

    return Reading


def _returning(order: str) -> type[Oracle]:
    class Returning(Wrapped):
        def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
            return _blocks(gradients, "ifgo", order)

    return Returning
