"""Which steps of a comparison are examined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charkit.randomness import Purpose, uniform
from charkit_comparison.agreement.rounding_control import BAND_FLOOR_UNITS, ROUNDING_UNITS, has_diverged


def select_steps(
    reference: Sequence[float],
    others: Sequence[Sequence[float]],
    *,
    precision: str,
    vocabulary_size: int,
    first_step: int,
    at_random: int,
    seed: int,
) -> list[int]:
    """The first step, the last, where each curve parts fastest from the reference, and some drawn at random.

    Of the steps at which training has diverged only the first one of all, if there is no other.
    """
    if len(reference) == 0:
        return []
    judged = ~has_diverged(reference, vocabulary_size)
    judged[0] |= not judged.any()
    chosen = {int(np.flatnonzero(judged)[0]), int(np.flatnonzero(judged)[-1])}
    for losses in others:
        if losses:
            growth = relative_growth(reference, losses, precision)
            fastest = int(np.argmax(np.where(judged[: len(growth)], growth, -1.0)))
            chosen |= {fastest} if judged[fastest] else set()
    rest = np.array([index for index in np.flatnonzero(judged) if index not in chosen], np.int64)
    draws = uniform(seed, Purpose.EXAMINATION, 0, size=len(rest))
    chosen |= set(rest[np.argsort(draws)[:at_random]].tolist())
    return sorted(first_step + index for index in chosen)


def relative_growth(
    reference: Sequence[float], losses: Sequence[float], precision: str
) -> NDArray[np.float64]:
    """The difference of two curves at each step, relative to the largest before it."""
    steps = min(len(reference), len(losses))
    ours = np.asarray(reference[:steps], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        differences = np.nan_to_num(np.abs(ours - np.asarray(losses[:steps], np.float64)), nan=np.inf)
        floor = BAND_FLOOR_UNITS * ROUNDING_UNITS[precision] * max(abs(ours[0]), 1.0)
        before = np.maximum(np.maximum.accumulate(np.concatenate([[0.0], differences[:-1]])), floor)
        return np.asarray(np.nan_to_num(differences / before, nan=1.0, posinf=np.finfo(np.float64).max))
