"""Several threads use networks at the same time: a backend is called by one of them at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import one_thread
from charkit.backend import Backend
from charkit.charrnn import CharRNN
from support import SMALL

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


def test_dynamic_evaluations_at_the_same_time_leave_the_weights(text_file: Path) -> None:
    run = charkit.train(text_file, max_steps=2, threads=1, **SMALL).load()
    before = run.model.weights()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: run.evaluate_dynamically(segment_length=5).loss, range(3)))
    assert len(set(found)) == 1
    for name, array in run.model.weights().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only some systems fork processes")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks(network: CharRNN) -> None:
    right = network.sample(5, seed=0)
    with one_thread.lock_of(network.backend), ThreadPoolExecutor(1) as threads:
        child = threads.submit(_forked, lambda: network.sample(5, seed=0).tobytes()).result()
    assert child == right.tobytes()


def _forked(call: Callable[[], bytes]) -> bytes:
    """What the call returns in a forked process; nothing if it takes longer than 20 seconds there."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        signal.alarm(20)
        os.write(write, call())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        found = answer.read()
    os.waitpid(process, 0)
    return found


def _overlaps(networks: list[CharRNN]) -> int:
    """How often a thread called a backend's function while another one did."""
    busy, overlaps = Lock(), 0

    def exclusive(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal overlaps
            if not busy.acquire(blocking=False):
                overlaps += 1
                busy.acquire()
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
