"""Whether what a backend computed is what the oracle computes, and what is wrong if it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.testing.diagnosis import diagnose
from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import BOUNDS, Compute, Kind, Mismatch, Proof, difference, same_shape


def agree(
    observed: Mapping[str, Any],
    compute: Compute,
    *,
    precision: str,
    kind: Kind,
    look_at: str,
    proof: Proof | None = None,
) -> None:
    """Raises Mismatch unless every observed array is the oracle's, within the precision's bound.

    A mistake that explains all arrays at once, and those of the ``proof``, is named in ``look_at``.
    """
    limit = BOUNDS[precision][kind]
    reference = compute(Oracle)
    for name, expected in reference.items():
        same_shape(name, observed, expected, look_at)
    gaps = {name: difference(observed[name], expected) for name, expected in reference.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    if gaps[worst] <= limit:
        return
    named = diagnose(observed, compute, gaps, precision=precision, limit=limit, proof=proof)
    where, wanted, came = _largest(observed[worst], reference[worst])
    others = sorted(name for name in gaps if gaps[name] > limit and name != worst)
    raise Mismatch(
        expected=f"{worst}{where} = {wanted:.9g}, within {limit:.0e} of the array's largest ({precision})",
        got=f"{came:.9g}; max|difference|/max|reference| {gaps[worst]:.2e}"
        + (f"; also off: {', '.join(others)}" if others else ""),
        look_at=f"{named}; {look_at}" if named else look_at,
    )


def _largest(observed: ArrayLike, reference: ArrayLike) -> tuple[str, float, float]:
    """Index, reference and observed value of the element that is furthest off."""
    came, wanted = np.asarray(observed, np.float64), np.asarray(reference, np.float64)
    gap: NDArray[np.float64] = np.nan_to_num(np.abs(came - wanted), nan=np.inf)
    index = np.unravel_index(int(gap.argmax()), gap.shape)
    place = f"[{', '.join(str(part) for part in index)}]" if index else ""
    return place, float(wanted[index]), float(came[index])
