"""Fits one parameter to arrays: nonlinear least squares by the Gauss-Newton method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, floor, inf, isfinite, log, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: The largest number of steps; four or five are enough from a start of the right order of magnitude.
_MOST_STEPS = 15
#: The step of the finite difference that gives the derivative, in the unit of the search.
_DIFFERENCE = 1e-5
#: The first step must be able to remove this share of the squared residuals: otherwise it is another mistake.
_LEAST_REDUCTION = 0.3
#: Longer steps, in the unit of the search, are shortened to this.
_LONGEST_STEP = 2.0


class Scale(NamedTuple):
    """The unit in which a parameter is fitted, with its rounding."""

    to_unit: Callable[[float], float]
    from_unit: Callable[[float], float]
    rounded: Callable[[float, int], float]


def significant(value: float, digits: int) -> float:
    """The value rounded to this many significant digits."""
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


class ParameterFit:
    """The parameter that minimizes the sum of squares of ``residuals``, observed minus computed."""

    def __init__(self, residuals: Callable[[float], Floats], scale: Scale) -> None:
        self._residuals = residuals
        self._scale = scale

    def find(self, starts: Sequence[float], baseline: Floats) -> float | None:
        """The best parameter, beginning at the best of ``starts``.

        None if no parameter makes the residuals much smaller than ``baseline``, those without the mistake.
        """
        points = [self._at(self._scale.to_unit(start)) for start in starts]
        point = min(points, key=lambda point: point.size)
        if not isfinite(point.size):
            return None
        is_close = point.size < 0.5 * float(np.sqrt(baseline @ baseline))
        for step in range(_MOST_STEPS):
            better = self._better(point, least=0.0 if is_close or step else _LEAST_REDUCTION)
            if better is None:
                return None
            if better is point:
                break
            point = better
        return self._scale.from_unit(point.unit)

    def _at(self, unit: float) -> _Point:
        residuals = self._residuals(self._scale.from_unit(unit))
        with np.errstate(over="ignore", invalid="ignore"):
            size = float(np.sqrt(residuals @ residuals))
        return _Point(unit, residuals, size if isfinite(size) else inf)

    def _better(self, point: _Point, least: float) -> _Point | None:
        """A point with smaller residuals, or the point itself if there is none.

        None if a step along the derivative can't remove the ``least`` share of the squared residuals.
        """
        if point.size == 0.0:
            return point
        slope = (self._at(point.unit + _DIFFERENCE).residuals - point.residuals) / _DIFFERENCE
        steepness = float(slope @ slope)
        if not isfinite(steepness) or steepness == 0.0:
            return None if least else point
        along = float(slope @ point.residuals)
        if along**2 / steepness < least * point.size**2:
            return None
        step = min(max(-along / steepness, -_LONGEST_STEP), _LONGEST_STEP)
        for _ in range(4):
            better = self._at(point.unit + step)
            if better.size < point.size:
                return better
            step /= 4.0
        return point


class _Point(NamedTuple):
    """A parameter in the unit of the search, its residuals, and their norm."""

    unit: float
    residuals: Floats
    size: float
