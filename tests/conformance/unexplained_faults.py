"""Planted faults that no known mistake explains, so no mistake may be named."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit_numpy.backend import NumpyBackend
from conformance import faults
from conformance.named_optimizer_faults import Clipping


def backends(change: Any) -> tuple[type[NumpyBackend], ...]:
    """Three backends whose LSTM, gradients or optimizer give what ``change(name, array)`` makes of each array."""

    def of_lstm(inner: Any, model: Any, *arguments: Any) -> Any:
        features, state = inner(*arguments)
        changed = {name: change(name, array) for name, array in state._asdict().items()}
        return change("features", features), State(**changed)

    def of_gradients(right: Any, symbols: Any) -> Any:
        return {name: change(name, array) for name, array in right.items()}

    class Corrupting(Clipping):
        def __call__(self, *arguments: Any) -> Any:
            weights, moments, norm = super().__call__(*arguments)
            after = {name: change(name, array) for name, array in weights.items()}
            means = {name: change(name, array) for name, array in moments.exp_avg.items()}
            return after, Moments(means, moments.exp_avg_sq), norm

    return faults.lstm(of_lstm), faults.returned_gradients(of_gradients), faults.optimizer(Corrupting)


def noisy(name: str, array: Any) -> Any:
    """Every element off by about 1e-4 of the largest, the same way at every call."""
    random = np.random.default_rng(len(name) + array.size)
    return (array + 1e-4 * np.abs(array).max() * random.standard_normal(array.shape)).astype(array.dtype)


def one_array_scaled(name: str, array: Any) -> Any:
    """One array 1.0001 times as large."""
    return array * array.dtype.type(1.0001) if name in {"hidden", "lstm.0.weight_hh"} else array


def one_element_off(name: str, array: Any) -> Any:
    """One element off, of one array, by a thousandth of the largest."""
    changed = array.copy()
    if name in {"cell", "output.weight"}:
        changed.flat[array.size // 2] += 1e-3 * np.abs(array).max()
    return changed


def one_element_gone(name: str, array: Any) -> Any:
    """One element of each array zero."""
    changed = array.copy()
    changed.flat[array.size // 3] = 0
    return changed
