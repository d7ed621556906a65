"""Several threads use networks at the same time: a backend is called by one of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import sleep
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import one_thread
from charkit.backend import Backend
from charkit.charrnn import CharRNN

SYMBOLS = [np.random.default_rng(seed).integers(0, 9, (8, 12), dtype=np.int32) for seed in range(4)]


@pytest.fixture
def network() -> CharRNN:
    return CharRNN(9, batch_size=8, num_steps=12, lstm_size=16, threads=2)


def _gradient(network: CharRNN, symbols: Any) -> Any:
    return network.gradients(symbols, symbols)[0]["lstm.0.weight_hh"]


@pytest.mark.parametrize(
    "call",
    [
        lambda network, symbols: network.sample(100, seed=int(symbols[0, 0])),
        lambda network, symbols: network.sample(20, count=8, seed=int(symbols[0, 0])),
        lambda network, symbols: network.nats(symbols, symbols, network.initial_state(8))[0],
        _gradient,
    ],
    ids=["sample", "samples", "nats", "gradients"],
)
def test_threads_that_share_a_network_get_what_one_would_get(
    network: CharRNN, call: Callable[[CharRNN, Any], Any]
) -> None:
    alone = [call(network, symbols) for symbols in SYMBOLS]
    with ThreadPoolExecutor(len(SYMBOLS)) as threads:
        for _ in range(5):
            together = threads.map(lambda symbols: call(network, symbols), SYMBOLS)
            for right, result in zip(alone, together, strict=True):
                np.testing.assert_array_equal(result, right)


def _overlaps(networks: list[CharRNN]) -> int:
    """How often a thread called a backend's function while another one did."""
    busy, overlaps = Lock(), 0

    def exclusive(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal overlaps
            if not busy.acquire(blocking=False):
                overlaps += 1
                return function(*arguments)
            try:
                sleep(0.001)
                return function(*arguments)
            finally:
                busy.release()

        return call

    for network in networks:
        for name in ("predict", "forward", "backward", "train", "apply", "advance"):
            setattr(network._network, name, exclusive(getattr(network._network, name)))

    def use(network: CharRNN) -> None:
        symbols = SYMBOLS[0]
        state = network.initial_state(8)
        network.predict(symbols[:, :1], state)
        network.next_logits(symbols[:, :1], state.tensors)
        network.advance(symbols, state)
        network.nats(symbols, symbols, state)
        network.apply_gradients(network.gradients(symbols, symbols)[0])
        network.train_step(symbols, symbols)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, networks * 4))
    return overlaps


def test_one_thread_at_a_time_calls_a_backend(network: CharRNN, monkeypatch: pytest.MonkeyPatch) -> None:
    other = CharRNN.from_config(
        network.config, network.optimizer_config, network.backend, batch_size=8, num_steps=12
    )
    assert _overlaps([network, other]) == 0

    def unshared(_backend: Backend[Any]) -> Any:
        return Lock()

    for module in (one_thread, charkit.inference):
        monkeypatch.setattr(module, "lock_of", unshared)
    assert _overlaps([network, other]) > 0  # the test notices if nothing is held
