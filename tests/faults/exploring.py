"""Runs a check on many inputs that hypothesis draws, from a seed and without a memory of earlier failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.strategies import SearchStrategy

Drawn = TypeVar("Drawn")


def explore(
    check: Callable[[Drawn], object], inputs: SearchStrategy[Drawn], *, count: int, seed: int
) -> None:
    """Calls ``check`` with ``count`` inputs; the smallest that fails is reported."""
    decorate: Any = settings(
        max_examples=count,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    def examined(drawn: Drawn) -> None:
        check(drawn)

    hypothesis.seed(seed)(decorate(hypothesis.given(inputs)(examined)))()
