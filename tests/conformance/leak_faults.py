"""Planted leaks of memory, threads and open files."""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend
from conformance import faults

_MANY, _WIDE = 32, 512


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


class ThreadsOfEachNetwork(NumpyBackend):
    """Starts a thread for each network, as soon as it trains on enough sequences, which waits for work forever."""

    def differentiate(self, forward: Any) -> Any:
        inner, own = super().differentiate(forward), list[threading.Thread]()

        def backward(weights: Any, symbols: Any, *rest: Any) -> Any:
            if len(symbols) >= _MANY and weights["lstm.0.weight_hh"].shape[1] >= _WIDE and not own:
                own.append(threading.Thread(target=queue.Queue[None]().get, daemon=True))
                own[0].start()
            return inner(weights, symbols, *rest)

        return backward


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
    ("a thread for each network", ThreadsOfEachNetwork, ("networks_are_released",), "that it opens"),
    ("nats that keep their history", NatsWithTheirHistory, ("results_keep_no_graph",), "detach"),
)
