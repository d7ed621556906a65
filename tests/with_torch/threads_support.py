"""The networks, batches and numbers of threads of the tests of PyTorch's threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from charkit import CharRNN

VOCABULARY_SIZE, BATCH_SIZE, NUM_STEPS = 11, 5, 6
#: Where the backend can't limit PyTorch's threads, there is nothing to test.
needs_limits = pytest.mark.usefixtures("limits")


def small_network(threads: int, *, dropout: float = 0.4, batch_size: int = BATCH_SIZE) -> CharRNN:
    """Two layers of 8 units on PyTorch."""
    return CharRNN(
        VOCABULARY_SIZE,
        batch_size,
        NUM_STEPS,
        lstm_size=8,
        num_layers=2,
        dropout=dropout,
        backend="torch",
        threads=threads,
        seed=3,
    )


def some_symbols(stream: int, batch_size: int = BATCH_SIZE) -> NDArray[np.int32]:
    """A batch of symbols, drawn from a stream of random numbers."""
    return (
        np.random.default_rng(stream).integers(0, VOCABULARY_SIZE, (batch_size, NUM_STEPS)).astype(np.int32)
    )


def number_of_a_new_thread() -> int:
    """The number of threads that PyTorch has in a thread that has not used it before."""
    import torch

    numbers: list[int] = []
    new = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
    new.start()
    new.join()
    return numbers[0]
