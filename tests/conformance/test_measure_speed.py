"""``charkit.measure_speed()``: what a Python user gets, and bad input."""

from __future__ import annotations

from typing import Any

import pytest

import charkit
from charkit.errors import BackendError
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "nmpy"}, "unknown backend 'nmpy' (did you mean 'numpy'?)"),
        ({"device": "abacus:0"}, "backend 'numpy' has no device 'abacus:0' here; it has cpu"),
        ({"threads": 0}, "`threads` must be at least 1; given 0"),
    ],
)
def test_wrong_use_is_an_error_before_anything_is_measured(options: dict[str, Any], message: str) -> None:
    activities: list[str] = []
    with pytest.raises(BackendError) as error:
        charkit.measure_speed(**{"backend": "numpy", "on_activity": activities.append, **options})
    assert message in str(error.value)
    assert activities == []
