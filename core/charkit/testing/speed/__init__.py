"""Measures how fast a backend is compared with NumPy, and finds known patterns that make it slow.

    from charkit.testing.speed import measure_speed

    report = measure_speed("mine")
    print(report.sizes[0].backend.training, report.advice)

Speeds are those of whole training steps and of sampling. What explains them is observed at a small size: how often
the backend's functions are traced, how much is copied between NumPy and the framework, and what grows with the steps.
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
