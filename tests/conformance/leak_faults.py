"""Planted leaks of memory, threads and open files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend
from conformance import faults


class NatsWithTheirHistory(NumpyBackend):
    """Returns nats that keep what they were computed from."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            gradients, nats, after = inner(*arguments)
            history = np.ones(nats.size + 25_000, nats.dtype)
            history[: nats.size] = nats.ravel()
            return gradients, history[: nats.size].reshape(nats.shape), after

        return backward


class KeepsArrays(NumpyBackend):
    """Keeps all symbols that it was given."""

    kept: list[Any]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.kept = []

    def tensor(self, array: Any) -> Any:
        tensor = super().tensor(array)
        if tensor.dtype == np.int32:
            self.kept.append(tensor)
        return tensor


class KeepsNetworks(NumpyBackend):
    """Keeps all LSTMs, and they keep the weights that they prepared."""

    kept: list[Any]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.kept = []

    def build_lstm(self, model: Any) -> Any:
        self.kept.append(super().build_lstm(model))
        return self.kept[-1]


def _starting_a_thread(kept: list[Any]) -> Any:
    def wrap(inner: Any, *arguments: Any) -> Any:
        kept.append(ThreadPoolExecutor(1))
        return kept[-1].submit(inner, *arguments).result()

    return wrap


def _opening_a_file(kept: list[Any]) -> Any:
    def wrap(inner: Any, model: Any, *arguments: Any) -> Any:
        kept.append(os.open(os.devnull, os.O_RDONLY))
        return inner(*arguments)

    return wrap


#: What is wrong, the backend, the checks that find it, and what the finding says.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("leaked symbols", KeepsArrays, ("arrays_are_released",), "tensor()"),
    ("leaked networks", KeepsNetworks, ("networks_are_released",), "caches"),
    (
        "a leaked thread per step",
        faults.gradients(_starting_a_thread([])),
        ("training_keeps_no_history",),
        "that it opens",
    ),
    (
        "a leaked file per symbol",
        faults.lstm(_opening_a_file([])),
        ("sampling_keeps_no_history",),
        "that it opens",
    ),
    ("nats that keep their history", NatsWithTheirHistory, ("results_keep_no_graph",), "detach"),
)
