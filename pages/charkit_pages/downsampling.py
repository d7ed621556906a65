"""Downsamples a line of thousands of steps to the points that it needs at its width in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bucket_extremes(values: Floats, buckets: int) -> NDArray[np.int64]:
    """The indices of the smallest and the largest value of each of ``buckets`` stretches, in order.

    The first and the last are kept. Everything is, where there are no more values than twice the buckets.
    """
    if len(values) <= 2 * buckets:
        return np.arange(len(values))
    chosen = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), buckets):
        part = np.nan_to_num(values[stretch], nan=-np.inf)
        chosen |= {int(stretch[part.argmin()]), int(stretch[part.argmax()])}
    return np.array(sorted(chosen))


def bucket_maxima(values: Floats, buckets: int) -> NDArray[np.int64]:
    """The index of the largest value of each of ``buckets`` stretches, so that no excess is lost."""
    if len(values) <= buckets:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), buckets)
    return np.array([stretch[np.nan_to_num(values[stretch], nan=np.inf).argmax()] for stretch in stretches])
