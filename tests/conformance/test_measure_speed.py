"""``charkit.measure_speed()``: what a Python user gets, and bad input."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import BackendError, ConfigurationError
from charkit.testing.speed import Size

TINY = Size(1, 8, 4, 6)


def test_numpy_is_measured_and_the_activities_are_called() -> None:
    activities: list[str] = []
    report = charkit.measure_speed(
        "numpy",
        threads=1,
        sizes=(TINY,),
        habits_size=TINY,
        rounds=2,
        round_seconds=0.02,
        growth_steps=12,
        on_activity=activities.append,
    )
    assert isinstance(report, charkit.SpeedReport)
    assert (report.backend, report.device, report.threads, report.rounds) == ("numpy", "cpu", 1, 2)
    (size,) = report.sizes
    assert len(size.backend.training) == len(size.backend.sampling) == 2
    assert size.baseline is None
    assert size.ratio("training") is None
    assert activities[0] == "measuring numpy: 1x8, first step"
    assert report.as_json()["sizes"][0]["training_ratio"] is None
    html = report._repr_html_()
    assert "numpy on cpu" in html
    assert f">{size.backend.median('training'):,.0f}<" in html


def test_integers_of_numpy_are_numbers() -> None:
    size, one, six = Size(*np.array([1, 8, 4, 6])), np.int64(1), np.int64(6)
    options: dict[str, Any] = {
        "threads": one,
        "rounds": one,
        "growth_steps": six,
        "round_seconds": np.float32(0.02),
    }
    report = charkit.measure_speed("numpy", sizes=(size,), habits_size=size, **options)
    assert (report.threads, report.rounds, report.as_json()["habits"]["growth_steps"]) == (1, 1, 6)
    assert json.loads(json.dumps(report.as_json()))["sizes"][0]["size"]["lstm_size"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "nmpy"}, "unknown backend 'nmpy' (did you mean 'numpy'?)"),
        ({"device": "abacus:0"}, "backend 'numpy' has no device 'abacus:0' here; it has cpu"),
        ({"threads": 0}, "`threads` must be at least 1; given 0"),
        ({"threads": 1.5}, "`threads` must be an integer; given 1.5"),
        ({"rounds": 0}, "`rounds` must be at least 1; given 0"),
        ({"rounds": "3"}, "`rounds` must be an integer; given '3'"),
        ({"growth_steps": 0}, "`growth_steps` must be at least 1; given 0"),
        ({"round_seconds": 0}, "`round_seconds` must be a finite number above 0; given 0"),
        ({"round_seconds": float("nan")}, "`round_seconds` must be a finite number above 0; given nan"),
        ({"sizes": 5}, "each of `sizes` must be a charkit.testing.speed.Size, such as Size(num_layers=2, "),
        ({"sizes": [(2, 128)]}, "num_steps=50); given (2, 128)"),
        ({"sizes": ()}, "`sizes` is empty; give one or more, or leave `sizes` out"),
        ({"habits_size": None}, "`habits_size` must be a charkit.testing.speed.Size, such as"),
        ({"round_seconds": "1"}, "`round_seconds` must be a finite number above 0; given '1'"),
    ],
)
def test_wrong_use_is_an_error_before_anything_is_measured(options: dict[str, Any], message: str) -> None:
    activities: list[str] = []
    with pytest.raises((BackendError, ConfigurationError)) as error:
        charkit.measure_speed(**{"backend": "numpy", "on_activity": activities.append, **options})
    assert message in str(error.value)
    assert activities == []


def test_a_size_is_of_numbers_above_0() -> None:
    with pytest.raises(ConfigurationError, match="lstm_size must be at least 1; given 0"):
        Size(1, 0, 4, 6)
