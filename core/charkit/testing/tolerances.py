"""Comparison of numbers: tolerances per precision, and the finding that a failed comparison raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array
from charkit.testing.oracle import Oracle

#: Computes the expected arrays on an oracle, right or mistaken, by the names under which they are compared.
Compute = Callable[[type[Oracle]], Mapping[str, ArrayLike]]

#: A second case, for a first one that failed: the backend's arrays, and what computes them on an oracle.
Proof = Callable[[], tuple[Mapping[str, ArrayLike], Compute]]

#: What is compared: results of a forward pass (logits, nats, state), gradients and their norm, or the update that
#: the optimizer makes of given gradients.
Kind = Literal["forward", "gradients", "update"]
#: The largest allowed difference of an array, max|difference| / max|reference|. bfloat16 rounds the operands of
#: matrix products to 8 bits, so its forward passes and gradients have bounds of their own, measured as
#: docs/decisions/0003 says; its optimizer computes in float32.
BOUNDS: dict[str, dict[Kind, float]] = {
    "float64": {"forward": 1e-10, "gradients": 1e-10, "update": 1e-10},
    "float32": {"forward": 2e-5, "gradients": 2e-5, "update": 2e-5},
    "bfloat16": {"forward": 5e-2, "gradients": 1e-1, "update": 2e-5},
}


class Mismatch(AssertionError):  # noqa: N818 - a finding, not an error of the kit
    """The finding of a failed check: what was expected, what was found, and where to look."""

    def __init__(self, expected: str, got: str, look_at: str) -> None:
        super().__init__(f"expected {expected}; got {got}; look at {look_at}")
        self.expected, self.got, self.look_at = expected, got, look_at


def require(condition: bool, *, expected: str, got: object, look_at: str) -> None:
    """Raises Mismatch unless the condition holds."""
    if not condition:
        raise Mismatch(expected, str(got), look_at)


def difference(observed: ArrayLike, reference: ArrayLike) -> float:
    """``max|observed - reference| / max|reference|`` of one array; infinite if a difference is not finite."""
    gap = np.abs(np.asarray(observed, np.float64) - np.asarray(reference, np.float64))
    if not np.isfinite(gap).all():
        return float("inf")
    largest = float(np.abs(reference).max(initial=0.0))
    return float(gap.max(initial=0.0)) / (largest or 1.0)


def is_right(observed: Mapping[str, Any], compute: Compute, precision: str, kind: Kind) -> bool:
    """Whether every observed array is within the precision's bound of the oracle's."""
    limit = BOUNDS[precision][kind]
    return all(
        name in observed
        and np.shape(observed[name]) == np.shape(expected)
        and difference(observed[name], expected) <= limit
        for name, expected in compute(Oracle).items()
    )


def require_close(
    observed: Mapping[str, Any],
    expected: Mapping[str, ArrayLike],
    *,
    precision: str,
    kind: Kind,
    look_at: str,
) -> None:
    """Like ``require_agreement``, for cases so large that trying every known mistake would take minutes."""
    limit = BOUNDS[precision][kind]
    for name, array in expected.items():
        require_shape(name, observed, array, look_at)
    gaps = {name: difference(observed[name], array) for name, array in expected.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    require(
        gaps[worst] <= limit,
        expected=f"{worst} within {limit:.0e} times the largest element ({precision})",
        got=f"max|difference|/max|reference| = {gaps[worst]:.2e}",
        look_at=look_at,
    )


def require_shape(name: str, observed: Mapping[str, Any], expected: ArrayLike, look_at: str) -> None:
    """Raises Mismatch unless there is an array of that name with the expected shape."""
    shape = np.shape(expected)
    found = np.shape(observed[name]) if name in observed else "no such array"
    require(found == shape, expected=f"{name} of shape {shape}", got=found, look_at=look_at)


def require_equal(
    observed: Mapping[str, Array], reference: Mapping[str, Array], *, expected: str, look_at: str
) -> None:
    """Raises Mismatch unless the arrays are bit for bit equal."""
    for name, array in reference.items():
        if not np.array_equal(observed[name], array, equal_nan=True):
            got = f"{name}: a difference of {difference(observed[name], array):.2e} relative to its largest element"
            raise Mismatch(expected, got, look_at)
