"""The parameter of a mistake is fitted to arrays, and nothing is found in arrays without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import numpy as np
import pytest

from charkit.testing.least_squares import BELOW_ONE, LINEAR, LOGARITHMIC, ParameterFit, Scale

POINTS = np.linspace(0.1, 2.0, 40)
NOISE = np.random.default_rng(3).standard_normal(40)
Model = Callable[[float], Any]


def straight(value: float) -> Any:
    return value * POINTS


def saturating(value: float) -> Any:
    """Nearly constant for small values: like Adam's change by its epsilon."""
    return POINTS / (POINTS + value)


def remembering(value: float) -> Any:
    return value * POINTS[::-1] + (1.0 - value) * POINTS**2


def _fitted(model: Model, observed: Any, scale: Scale, starts: Sequence[float], right: float) -> float | None:
    return ParameterFit(lambda value: observed - model(value), scale).find(starts, observed - model(right))


@pytest.mark.parametrize(
    ("model", "scale", "starts", "right", "value"),
    [
        (straight, LINEAR, (1.0,), 1.0, -3.25),
        (straight, LINEAR, (1.0,), 1.0, 0.0),
        (straight, LINEAR, (0.0, 0.01, 1.0), 0.0, 1e-5),
        (saturating, LOGARITHMIC, [10.0**-e for e in range(1, 17)], 1e-8, 3e-3),
        (saturating, LOGARITHMIC, [10.0**-e for e in range(1, 17)], 1e-2, 1e-7),
        (remembering, BELOW_ONE, (0.0, 0.5, 0.9, 0.99, 0.999), 0.999, 0.9991),
        (remembering, BELOW_ONE, (0.0, 0.5, 0.9, 0.99, 0.999), 0.9, 0.9999),
        (remembering, BELOW_ONE, (0.0, 0.5, 0.9, 0.99, 0.999), 0.9, 0.0),
    ],
)
def test_the_parameter_is_found(
    model: Model, scale: Scale, starts: Sequence[float], right: float, value: float
) -> None:
    assert _fitted(model, model(value), scale, starts, right) == pytest.approx(value, rel=1e-6, abs=1e-12)


def test_the_parameter_is_found_under_noise() -> None:
    observed = saturating(3e-3) * (1.0 + 1e-7 * NOISE)
    starts = [10.0**-e for e in range(1, 17)]
    assert _fitted(saturating, observed, LOGARITHMIC, starts, 1e-8) == pytest.approx(3e-3, rel=1e-4)


def test_a_start_that_is_the_number_stays() -> None:
    observed = saturating(1e-3) * (1.0 + 1e-7 * NOISE)
    assert _fitted(saturating, observed, LOGARITHMIC, (1e-3,), 1e-8) == pytest.approx(1e-3, rel=1e-3)


def test_nothing_is_found_in_noise() -> None:
    assert _fitted(straight, straight(1.0) + 1e-3 * NOISE, LINEAR, (1.0,), 1.0) is None


def test_nothing_is_found_where_the_number_has_no_effect() -> None:
    assert _fitted(lambda value: POINTS, POINTS + 1.0, LINEAR, (1.0,), 1.0) is None


def test_nothing_is_found_in_what_is_not_finite() -> None:
    assert _fitted(straight, POINTS * np.inf, LINEAR, (1.0,), 1.0) is None


@pytest.mark.parametrize(
    ("scale", "value", "digits", "expected"),
    [
        (LINEAR, -2.0004, 2, -2.0),
        (LINEAR, 0.0, 3, 0.0),
        (LOGARITHMIC, 1.0003e-7, 1, 1e-7),
        (LOGARITHMIC, 1.19209e-7, 3, 1.19e-7),
        (BELOW_ONE, 0.99910004, 1, 0.9991),
        (BELOW_ONE, 0.9499999, 2, 0.95),
    ],
)
def test_a_number_is_rounded_on_its_scale(scale: Scale, value: float, digits: int, expected: float) -> None:
    assert scale.rounded(value, digits) == expected


@pytest.mark.parametrize(("scale", "value"), [(LINEAR, -3.0), (LOGARITHMIC, exp(-9.0)), (BELOW_ONE, 0.999)])
def test_a_scale_goes_both_ways(scale: Scale, value: float) -> None:
    assert scale.from_unit(scale.to_unit(value)) == pytest.approx(value, rel=1e-12)
