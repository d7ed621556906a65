"""Planted faults of caches whose key is an address, ``id(array)``, without a reference to the array."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend


class TensorsByAddress(NumpyBackend):
    """Returns the last tensor of symbols or masks again if an array has its address."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._last: tuple[Any, Any] = (None, None)

    def tensor(self, array: Any) -> Any:
        if np.asarray(array).dtype.kind == "f":
            return super().tensor(array)
        key = (id(array), array.shape, array.dtype)
        if self._last[0] != key:
            self._last = key, super().tensor(array)
        return self._last[1]


class ByAddress(NumpyBackend):
    """Keeps one argument of the LSTM or of a gradient, and uses it again for one with its address."""

    #: The number of the argument, of the LSTM in a prediction and of a gradient.
    of_lstm, of_gradient = -1, -1

    def build_lstm(self, model: Any) -> Any:
        return self._keeping(super().build_lstm(model), self.of_lstm)

    def differentiate(self, forward: Any) -> Any:
        return self._keeping(super().differentiate(forward), self.of_gradient)

    def _keeping(self, inner: Any, number: int) -> Any:
        kept: dict[Any, Any] = {}

        def run(*arguments: Any) -> Any:
            if number < 0 or arguments[number] is None:
                return inner(*arguments)
            argument = arguments[number]
            key = (id(argument), np.shape(arguments[1]))
            if key not in kept:
                kept.clear()
                kept[key] = dict(argument) if isinstance(argument, dict) else argument.copy()
            return inner(*arguments[:number], kept[key], *arguments[number + 1 :])

        return run


class SymbolsByAddress(ByAddress):
    of_lstm = 1


class WeightsByAddress(ByAddress):
    of_gradient = 0


class TargetsByAddress(ByAddress):
    of_gradient = 2


class MasksByAddress(ByAddress):
    of_gradient = 4


class KeepsEveryPreparation(NumpyBackend):
    """Keeps what it has prepared from every dictionary of weights, and the dictionary."""

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)
        prepared: dict[int, Any] = {}

        def lstm(weights: Any, *rest: Any) -> Any:
            prepared.setdefault(id(weights), weights)
            return inner(weights, *rest)

        return lstm


_READ = ("tensors_at_an_old_address_are_read",)

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    (
        "tensors of arrays recognized by address",
        TensorsByAddress,
        ("arrays_at_an_old_address_are_copied",),
        "tensor()",
    ),
    (
        "everything prepared from weights kept",
        KeepsEveryPreparation,
        ("replaced_weights_are_released",),
        "until other weights are used",
    ),
    ("symbols recognized by address", SymbolsByAddress, _READ, "replaced here: symbols"),
    ("weights of a gradient recognized by address", WeightsByAddress, _READ, "replaced here: weights"),
    ("targets recognized by address", TargetsByAddress, _READ, "replaced here: targets"),
    ("masks recognized by address", MasksByAddress, _READ, "replaced here: masks"),
)
