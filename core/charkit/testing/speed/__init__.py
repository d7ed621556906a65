"""How fast a backend is beside NumPy, and which known slow pattern shows in it.

    from charkit.testing.speed import measure_speed

    report = measure_speed("mine")
    print(report.sizes[0].backend.training, report.advice)

Speeds are of the whole path that training and sampling take. What explains them is observed at a small size: how
often the backend's functions are traced, what crosses between NumPy and the framework, what grows with the steps.
"""

from __future__ import annotations

from charkit.testing.speed.advice import Advice, advise
from charkit.testing.speed.measure import SizeReport, SpeedReport, measure_speed
from charkit.testing.speed.measurements import SIZES, Calls, CallsAt, Copies, Habits, Phase, Size, Speed

__all__ = [
    "SIZES",
    "Advice",
    "Calls",
    "CallsAt",
    "Copies",
    "Habits",
    "Phase",
    "Size",
    "SizeReport",
    "Speed",
    "SpeedReport",
    "advise",
    "measure_speed",
]
