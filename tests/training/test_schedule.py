"""The learning-rate schedule."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi
from typing import Any

import pytest

from charkit.config import OptimizerConfig, TrainingConfig
from charkit.training.schedule import learning_rate_at, plan_until

OPTIMIZER = OptimizerConfig(learning_rate=0.1)


def rates(total: int, **training: object) -> list[float]:
    config = TrainingConfig.model_validate(training)
    return [
        learning_rate_at(step, plan_until(total, config), OPTIMIZER, config) for step in range(1, total + 1)
    ]


def test_constant() -> None:
    assert rates(5) == [0.1] * 5


def test_warm_up_rises_linearly_to_the_peak() -> None:
    assert rates(6, warmup_steps=4) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_cosine_falls_from_the_peak_to_the_floor() -> None:
    course = rates(100, schedule="cosine", warmup_steps=10, learning_rate_floor=0.01)
    assert max(course) == course[9] == 0.1
    assert course[-1] == pytest.approx(0.01)
    assert course[54] == pytest.approx((0.1 + 0.01) / 2)
    assert all(later < earlier for earlier, later in pairwise(course[9:]))


def test_cosine_has_the_bits_of_charkit_0_1() -> None:
    course = rates(100, schedule="cosine", warmup_steps=10, learning_rate_floor=0.01)
    expected = [
        0.01 + (0.1 - 0.01) * 0.5 * (1.0 + cos(pi * min(1.0, (step - 10) / 90))) for step in range(11, 101)
    ]
    assert course[10:] == expected


def test_linear_falls_along_a_straight_line_to_the_floor() -> None:
    course = rates(100, schedule="linear", warmup_steps=10, learning_rate_floor=0.01)
    assert max(course) == course[9] == 0.1
    assert course[-1] == pytest.approx(0.01)
    falls = [earlier - later for earlier, later in pairwise(course[9:])]
    assert falls == pytest.approx([0.001] * 90)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_cooldown_stays_and_falls_along_a_straight_line_in_its_last_part(share: float) -> None:
    course = rates(110, schedule="cooldown", cooldown_share=share, warmup_steps=10, learning_rate_floor=0.01)
    last = round(100 * share)
    assert course[9:-last] == pytest.approx([0.1] * (101 - last))
    falls = [earlier - later for earlier, later in pairwise(course[-last - 1 :])]
    assert falls == pytest.approx([0.09 / last] * last)
    assert course[-1] == pytest.approx(0.01)


def test_a_cooldown_of_the_whole_is_linear() -> None:
    assert rates(50, schedule="cooldown", cooldown_share=1.0) == rates(50, schedule="linear")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "cooldown"])
def test_a_falling_schedule_stays_at_the_floor_past_the_end(schedule: Any) -> None:
    training = TrainingConfig(schedule=schedule, learning_rate_floor=0.01)
    assert learning_rate_at(500, plan_until(100, training), OPTIMIZER, training) == pytest.approx(0.01)


def test_a_floor_above_the_peak_never_raises_the_rate() -> None:
    assert rates(4, schedule="cosine", learning_rate_floor=1.0) == pytest.approx([0.1] * 4)
