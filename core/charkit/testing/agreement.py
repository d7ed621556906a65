"""Comparison of a backend's arrays with the oracle's, with a diagnosis of what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.testing.diagnosis import diagnose
from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import BOUNDS, Compute, Kind, Mismatch, Proof, difference, require_shape


def require_agreement(
    observed: Mapping[str, Any],
    compute: Compute,
    *,
    precision: str,
    kind: Kind,
    look_at: str,
    proof: Proof | None = None,
) -> None:
    """Raises Mismatch unless every observed array is within the precision's bound of the oracle's.

    ``look_at`` then names a known mistake if it explains all arrays at once, and those of the ``proof``.
    """
    limit = BOUNDS[precision][kind]
    reference = compute(Oracle)
    for name, expected in reference.items():
        require_shape(name, observed, expected, look_at)
    gaps = {name: difference(observed[name], expected) for name, expected in reference.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    if gaps[worst] <= limit:
        return
    diagnosis = diagnose(observed, compute, gaps, precision=precision, limit=limit, proof=proof)
    index, expected_value, value = _largest_difference(observed[worst], reference[worst])
    others = sorted(name for name in gaps if gaps[name] > limit and name != worst)
    raise Mismatch(
        expected=f"{worst}{index} = {expected_value:.9g}, within {limit:.0e} times the largest element ({precision})",
        got=f"{value:.9g}; max|difference|/max|reference| = {gaps[worst]:.2e}"
        + (f"; also off: {', '.join(others)}" if others else ""),
        look_at=f"{diagnosis}; {look_at}" if diagnosis else look_at,
    )


def _largest_difference(observed: ArrayLike, reference: ArrayLike) -> tuple[str, float, float]:
    """Index, reference and observed value of the element that differs most."""
    values, expected = np.asarray(observed, np.float64), np.asarray(reference, np.float64)
    gap: NDArray[np.float64] = np.nan_to_num(np.abs(values - expected), nan=np.inf)
    index = np.unravel_index(int(gap.argmax()), gap.shape)
    subscript = f"[{', '.join(str(part) for part in index)}]" if index else ""
    return subscript, float(expected[index]), float(values[index])
