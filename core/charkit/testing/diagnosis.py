"""Names the mistake behind wrong numbers, by making each known one on the oracle and comparing.

A mistake is the oracle with one formula changed. One that reproduces every array of a failed comparison,
within the bound that the right numbers missed, is named. So a name is a finding, not a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from charkit.testing.judge import BOUNDS, Compute, difference
from charkit.testing.mistakes import mistakes


def diagnose(
    observed: Mapping[str, Any], compute: Compute, gaps: Mapping[str, float], *, precision: str, limit: float
) -> str:
    """Says what the numbers look like and where to look, or nothing if no known mistake explains them."""
    for mistake in mistakes():
        with np.errstate(all="ignore"):  # some mistakes divide by zero
            wrong = compute(mistake.oracle)
        if all(difference(observed[name], array) <= limit for name, array in _same_shapes(observed, wrong)):
            return f"it looks like {mistake.name}; see {mistake.where}"
    if precision == "float64" and max(gaps.values()) <= BOUNDS["float32"]["gradients"]:
        return "it looks like float32 arithmetic where float64 was asked; see tensor() and every constant"
    if not all(np.isfinite(np.asarray(observed[name], np.float64)).all() for name in gaps):
        return "it looks like an overflow or a division by zero: the numbers are not finite"
    return ""


def _same_shapes(
    observed: Mapping[str, Any], wrong: Mapping[str, ArrayLike]
) -> Iterator[tuple[str, ArrayLike]]:
    return ((name, array) for name, array in wrong.items() if np.shape(observed[name]) == np.shape(array))
