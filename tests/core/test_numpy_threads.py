"""NumPy's threads: the process's own number comes back, and a forked process has a second thread of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from charkit import CharRNN
from charkit.backend import Array

BATCH, TIME = 16, 10


def _network() -> CharRNN:
    return CharRNN(11, batch_size=BATCH, num_steps=TIME, lstm_size=32, seed=1)


def _symbols() -> Array:
    return np.zeros((BATCH, TIME), np.int32)


def _blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_networks_that_train_at_the_same_time_leave_blas_as_it_was() -> None:
    before = _blas_threads()
    networks, symbols = [_network() for _ in range(3)], _symbols()

    def train(network: CharRNN, steps: int) -> None:
        for _ in range(steps):
            network.train_step(symbols, symbols)

    threads = [
        threading.Thread(target=train, args=(network, 30 + 10 * i)) for i, network in enumerate(networks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _blas_threads() == before
    alone = _network()
    train(alone, 30)
    assert all(np.array_equal(networks[0].weights()[name], array) for name, array in alone.weights().items())


def _losses(network: CharRNN) -> list[float]:
    symbols = _symbols()
    return [float(network.train_step(symbols, symbols).loss) for _ in range(2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_network_goes_on_in_a_process_that_was_forked() -> None:
    """The thread of the second half is not among what a fork copies."""
    network = _network()
    _losses(network)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(_losses(network)), daemon=True)
    child.start()
    try:
        there = answers.get(timeout=60)
    finally:
        child.kill()
        child.join()
    assert there == _losses(network)
