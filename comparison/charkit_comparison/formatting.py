"""Numbers and names as a verdict tells them; the pages of a report use the same words."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf, isnan


def names(labels: Sequence[str]) -> str:
    """Labels in a row: ``a``, ``a and b``, ``a, b and c``."""
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 step``, ``1,000 steps``."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def tiny(value: float) -> str:
    """A difference in two digits, ``3.1e-6``, ``0.23``, ``140``; zero is said to be exactly that."""
    if isnan(value):
        return "not a number"
    if isinf(value):
        return "infinite"
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:#.2g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
