"""NumPy's threads: the process's own number counts and comes back; a forked process has a second thread of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from charkit import CharRNN
from charkit.backend import Array, available_threads
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.threads import blas_limit

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


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many threads for BLAS as a process has by default, and afterwards the number from before."""
    monkeypatch.setattr(blas_limit, "_replaced", {})
    if available_threads() < 2:
        pytest.skip("needs two processors")
    with threadpool_limits(available_threads()):
        yield


def _threads(requested: int | None) -> int:
    return NumpyBackend(precision="float32", device="cpu", threads=requested).threads


@pytest.mark.usefixtures("two_threads")
def test_a_limit_of_the_user_holds_unless_threads_are_requested() -> None:
    with threadpool_limits(1):
        assert [_threads(requested) for requested in (None, 2, None, 1, None)] == [1, 2, 1, 1, 1]
    assert _threads(None) == available_threads()


@pytest.mark.usefixtures("two_threads")
def test_what_one_network_requests_is_no_limit_for_the_next() -> None:
    assert [_threads(requested) for requested in (1, None)] == [1, available_threads()]


@pytest.mark.usefixtures("two_threads")
def test_a_network_that_computes_is_no_limit_for_one_created_meanwhile() -> None:
    with blas_limit.at(1, ThreadpoolController()):
        assert _threads(None) == available_threads()
        assert _threads(1) == 1
        assert _threads(None) == available_threads()
    assert _blas_threads()[0] == 1


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
