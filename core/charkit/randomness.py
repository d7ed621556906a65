"""Every random number in the toolkit, from counters alone.

A stream is Philox (Salmon et al., 2011) seeded by ``SeedSequence(seed, spawn_key=(purpose, *counters))``.
No state of a generator is ever saved: the seed and the counters determine everything. NumPy keeps raw bits
stable between its versions, not the methods of ``Generator``, so the conversions are here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every run: never change one, only add."""

    WEIGHTS = 1
    DROPOUT = 2
    SAMPLING = 3
    CONTROL = 4
    EXAMINATION = 5
    TRAINING_SAMPLE = 6
    EPOCH_OFFSET = 7
    STATE_RESETS = 8
    SEARCH = 9


def _bits(seed: int, purpose: Purpose, counters: tuple[int, ...], count: int) -> NDArray[np.uint64]:
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose), *counters))
    raw: Any = np.random.Philox(sequence).random_raw(count)
    return np.asarray(raw, dtype="<u8")


def uniform(seed: int, purpose: Purpose, *counters: int, size: int) -> FloatArray:
    """``size`` draws in [0, 1), float64, from the top 53 bits of each raw word."""
    words = _bits(seed, purpose, counters, size) >> np.uint64(11)
    return words.astype(np.float64) * np.float64(2.0**-53)


def normal(seed: int, purpose: Purpose, *counters: int, size: int) -> FloatArray:
    """``size`` standard normal draws, float64 (Box and Muller, 1958)."""
    half = (size + 1) // 2
    draws = uniform(seed, purpose, *counters, size=2 * half)
    radius = np.sqrt(-2.0 * np.log1p(-draws[:half]))  # 1 - u is never 0, so the logarithm is finite
    angle = 2.0 * np.pi * draws[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]


def dropout_masks(seed: int, step: int, shape: tuple[int, int, int, int], dropout: float) -> BoolArray:
    """The masks of one training step, bool ``(layer, batch, time, unit)``; true keeps.

    An element is kept when its 32 random bits are at least ``dropout * 2**32``, so the rate is exact to
    2**-32. Each layer has a stream of its own: a model with more layers keeps the masks of the lower ones.
    """
    threshold = np.uint32(min(round(dropout * 2**32), 2**32 - 1))
    per_layer = shape[1] * shape[2] * shape[3]
    masks = np.empty(shape, dtype=np.bool_)
    for layer in range(shape[0]):
        words = _bits(seed, Purpose.DROPOUT, (step, layer), (per_layer + 1) // 2).view("<u4")
        np.greater_equal(words[:per_layer].reshape(shape[1:]), threshold, out=masks[layer])
    return masks


def state_resets(seed: int, step: int, batch_size: int, probability: float) -> BoolArray:
    """Which streams start a training step from a zero state, bool ``(batch,)``."""
    return uniform(seed, Purpose.STATE_RESETS, step, size=batch_size) < probability


class SamplingDraws:
    """The uniform draws of one sampled stream, one per position, made in blocks as they are needed."""

    BLOCK = 1024

    def __init__(self, seed: int, stream: int) -> None:
        self._seed = seed
        self._stream = stream
        self._block = -1
        self._draws: list[float] = []

    def at(self, position: int) -> float:
        """The draw in [0, 1) for the symbol at this position of the sample."""
        block, offset = divmod(position, self.BLOCK)
        if block != self._block:
            draws = uniform(self._seed, Purpose.SAMPLING, self._stream, block, size=self.BLOCK)
            self._block, self._draws = block, draws.tolist()
        return self._draws[offset]
