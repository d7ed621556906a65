"""Finds one number from arrays: least squares in one unknown, by Gauss and Newton's method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, floor, inf, isfinite, log, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Gauss-Newton steps at most; from a start of the right order of magnitude four or five are enough.
_STEPS = 15
#: Distance of the two points that give a slope, in the unit of the search.
_APART = 1e-5
#: The first step must be able to take away this share of the squared residuals: otherwise it is another mistake.
_LEAST_SHARE = 0.3
#: A longer step, in the unit of the search, is shortened to this: the model is not linear that far.
_LONGEST = 2.0


class Scale(NamedTuple):
    """The unit in which a number is searched for, and in which it is round."""

    into: Callable[[float], float]
    out_of: Callable[[float], float]
    rounded: Callable[[float, int], float]


def significant(value: float, digits: int) -> float:
    """The number rounded to so many significant digits."""
    if value == 0.0:
        return 0.0
    return round(value, digits - 1 - floor(log10(abs(value))))


#: Numbers of any sign, such as a factor.
LINEAR = Scale(float, float, significant)
#: Positive numbers of any order of magnitude, such as an epsilon.
LOGARITHMIC = Scale(log, exp, significant)
#: Numbers below 1 whose distance to 1 matters, such as Adam's betas.
BELOW_ONE = Scale(
    lambda value: log(1.0 - value),
    lambda unit: 1.0 - exp(unit),
    lambda value, digits: round(1.0 - significant(1.0 - value, digits), 12),
)


class Fit:
    """The number with which ``residuals``, what came minus what the number gives, is smallest in squares."""

    def __init__(self, residuals: Callable[[float], Floats], scale: Scale) -> None:
        self._residuals = residuals
        self._scale = scale

    def find(self, starts: Sequence[float], baseline: Floats) -> float | None:
        """The best number, searched for from the best of ``starts``.

        None where no number makes the residuals much smaller than ``baseline``, those of the right numbers.
        """
        points = [self._at(self._scale.into(start)) for start in starts]
        point = min(points, key=lambda one: one.size)
        if not isfinite(point.size):
            return None
        is_near = point.size < 0.5 * float(np.sqrt(baseline @ baseline))
        for step in range(_STEPS):
            better = self._better(point, least=0.0 if is_near or step else _LEAST_SHARE)
            if better is None:
                return None
            if better is point:
                break
            point = better
        return self._scale.out_of(point.unit)

    def _at(self, unit: float) -> _Point:
        residuals = self._residuals(self._scale.out_of(unit))
        with np.errstate(over="ignore", invalid="ignore"):
            size = float(np.sqrt(residuals @ residuals))
        return _Point(unit, residuals, size if isfinite(size) else inf)

    def _better(self, point: _Point, least: float) -> _Point | None:
        """A point with smaller residuals, or the point itself where there is none.

        None where a move along the slope can't take away the ``least`` share of the squared residuals.
        """
        if point.size == 0.0:
            return point
        slope = (self._at(point.unit + _APART).residuals - point.residuals) / _APART
        steepness = float(slope @ slope)
        if not isfinite(steepness) or steepness == 0.0:
            return None if least else point
        along = float(slope @ point.residuals)
        if along**2 / steepness < least * point.size**2:
            return None
        step = min(max(-along / steepness, -_LONGEST), _LONGEST)
        for _ in range(4):
            nearer = self._at(point.unit + step)
            if nearer.size < point.size:
                return nearer
            step /= 4.0
        return point


class _Point(NamedTuple):
    """A number, in the unit of the search, and how far it leaves what came."""

    unit: float
    residuals: Floats
    size: float
