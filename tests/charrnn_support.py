"""A small network and its batches."""

from __future__ import annotations

from typing import Any

import numpy as np

import charkit


def model(**changes: Any) -> charkit.CharRNN:
    settings: dict[str, Any] = {"batch_size": 3, "num_steps": 5, "lstm_size": 6, "threads": 1}
    return charkit.CharRNN(7, **{**settings, **changes})


def batch(seed: int = 0, shape: tuple[int, int] = (3, 5)) -> tuple[Any, Any]:
    symbols = np.random.default_rng(seed).integers(0, 7, (shape[0], shape[1] + 1)).astype(np.int32)
    return symbols[:, :-1].copy(), symbols[:, 1:].copy()


def assert_equal(one: charkit.CharRNN, other: charkit.CharRNN) -> None:
    """The same step count and, to the bit, the same arrays."""
    arrays, others = one.snapshot().arrays(), other.snapshot().arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert np.array_equal(array, others[name]), name
