"""Lengths of time and numbers of steps as text: ``90s``, ``10m``, ``1.5h``, ``500``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")
#: The longest duration and the most steps: further than any training goes, and small enough to compute with.
MOST_HOURS = 10**6
MOST_STEPS = 10**12


def duration_seconds(text: str) -> float:
    """Reads ``90s``, ``10m`` or ``1.5h``. Raises ValueError for anything else."""
    match = re.fullmatch(_DURATION, text)
    if match is None or float(match[1]) == 0:
        raise ValueError("a duration must be a number above 0 followed by a unit, as in 90s, 10m or 2h")
    seconds = float(match[1]) * UNITS_SECONDS[match[2]]
    if seconds > MOST_HOURS * 3600:
        raise ValueError(f"a duration must be at most {MOST_HOURS}h")
    return seconds


def _check_duration(text: str) -> str:
    duration_seconds(text)
    return text


def _check_steps_or_duration(text: str) -> str:
    if text.isdecimal():
        if len(text) > len(str(MOST_STEPS)) or int(text) > MOST_STEPS:
            raise ValueError(f"a number of steps must be at most {MOST_STEPS}")
        if int(text) == 0:
            raise ValueError("a number of steps must be at least 1")
        return text
    if re.fullmatch(_DURATION, text) is None:
        raise ValueError("give a number of steps, such as 500, or a duration, such as 90s, 10m or 2h")
    return _check_duration(text)


Duration = Annotated[str, AfterValidator(_check_duration)]
StepsOrDuration = Annotated[str, AfterValidator(_check_steps_or_duration)]
