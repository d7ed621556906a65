"""How far two curves are apart, and which pairs agree."""

from __future__ import annotations

import numpy as np
import pytest

from charkit_comparison.agreement.curve_differences import (
    common_prefix_length,
    first_exceeding,
    first_outside_band,
    loss_differences,
    most_central,
)
from comparison_support import APART, FLAT, outcome, pairs


def test_pairs_are_of_one_precision_and_of_backends() -> None:
    outcomes = [
        outcome("a", FLAT),
        outcome("b", FLAT),
        outcome("a double", FLAT, "float64"),
        outcome("a half", FLAT, "bfloat16"),
        outcome("b half", APART, "bfloat16"),
        outcome("their own", APART, kind="own layers"),
        outcome("failed", ()),
    ]
    assert [(pair.first, pair.second, pair.agrees) for pair in pairs(outcomes)] == [
        ("a", "b", True),
        ("a half", "b half", None),
    ]


def test_numbers_of_a_pair() -> None:
    weights = {"a": {"w": np.array([1.0, -4.0])}, "b": {"w": np.array([1.0, -4.4])}}
    (pair,) = pairs([outcome("a", FLAT), outcome("b", (*APART, 9.0))], weights=weights)
    assert pair.steps == 3
    assert pair.largest_loss_difference == pytest.approx(0.02)
    assert pair.mean_loss_difference == pytest.approx(0.02 / 3)
    assert pair.weights_difference == pytest.approx(0.1)
    assert pair.times_the_control == pytest.approx(2000)
    assert (pair.left_band_at, pair.agrees) == (3, False)


def test_a_pair_agrees_unless_something_speaks_against_it() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    wide = np.full(3, 0.01)
    assert [pair.agrees for pair in pairs(two, wide)] == [True]
    assert [pair.agrees for pair in pairs(two, wide, wrong={"b"})] == [False]
    assert [pair.agrees for pair in pairs(two, wide, bound=0.05)] == [True]
    assert [pair.agrees for pair in pairs(two, wide, bound=0.001)] == [False]


def test_a_loss_that_is_not_finite_for_one_alone_is_infinitely_far() -> None:
    lost = outcome("a", FLAT).model_copy(update={"not_finite_at": 4})
    further = outcome("b", (*FLAT, 2.0))
    assert loss_differences(lost, further).tolist() == [0.0, 0.0, 0.0, np.inf]
    assert first_outside_band(lost, further, np.full(4, 1e-3)) == 3
    assert (
        first_outside_band(lost, further, np.array([1e-3, 1e-3, 1e-3, np.inf])) is None
    )  # the control lost it too
    both = lost.model_copy(update={"label": "c"})
    assert loss_differences(lost, both).tolist() == [0.0, 0.0, 0.0]


def test_samples_of_different_steps_are_not_compared() -> None:
    early = outcome("a", FLAT).model_copy(update={"sample": "one text", "sample_step": 2})
    late = outcome("b", FLAT).model_copy(update={"sample": "another", "sample_step": 3})
    assert pairs([early, late])[0].equal_characters is None
    assert pairs([early, early.model_copy(update={"label": "c"})])[0].equal_characters == 8


@pytest.mark.parametrize(("first", "second", "equal"), [("abc", "abd", 2), ("abc", "abc", 3), ("", "a", 0)])
def test_equal_beginning(first: str, second: str, equal: int) -> None:
    assert common_prefix_length(first, second) == equal


def test_the_reference_is_nearest_to_all() -> None:
    middle = [outcome("far", (2.3,)), outcome("middle", (2.0,)), outcome("near", (1.9,))]
    assert most_central(middle).label == "middle"
    assert most_central(middle[:2]).label == "far"  # of two equally near, the first


def test_first_beyond() -> None:
    assert first_exceeding([0.0, 0.0, 0.01], 1e-4) == 2
    assert first_exceeding([0.0, 0.0, 0.01], 0.1) is None
    assert first_exceeding([0.0, float("inf")], 0.1) == 1
    assert first_exceeding([0.0, float("nan")], 0.1) == 1
