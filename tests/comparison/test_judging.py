"""Who agrees with whom, who left, where to look first, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from charkit.comparison import place
from charkit.comparison.agreement import (
    equal_beginning,
    first_beyond,
    outsiders,
    pairs_of,
    strays,
    verdict_of,
)
from charkit.comparison.place import candidates
from charkit.comparison.plan import BOUNDS, Plan, Variant
from charkit.comparison.report import Outcome
from charkit.config import ModelConfig, RunConfig


def outcome(
    label: str, losses: Sequence[float], precision: str = "float32", kind: str = "backend"
) -> Outcome:
    """What came of a variant that did nothing but have these losses."""
    return Outcome.model_validate(
        {
            "label": label,
            "backend": label,
            "kind": kind,
            "precision": precision,
            "decides": kind == "backend" and precision in BOUNDS,
            "status": "done",
            "losses": losses,
            "gradient_norms": [1.0] * len(losses),
        }
    )


FLAT = (2.0, 2.0, 2.0)
APART = (2.0, 2.0, 2.01)


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
    pairs = pairs_of(outcomes, {}, BOUNDS)
    assert [(pair.first, pair.second, pair.bound, pair.agrees) for pair in pairs] == [
        ("a", "b", 1e-4, True),
        ("a half", "b half", None, None),
    ]


def test_numbers_of_a_pair() -> None:
    weights = {"a": {"w": np.array([1.0, -4.0])}, "b": {"w": np.array([1.0, -4.4])}}
    (pair,) = pairs_of([outcome("a", FLAT), outcome("b", (*APART, 9.0))], weights, BOUNDS)
    assert pair.steps == 3
    assert pair.largest_loss_difference == pytest.approx(0.01)
    assert pair.mean_loss_difference == pytest.approx(0.01 / 3)
    assert pair.weights_difference == pytest.approx(0.1)
    assert pair.agrees is False


def test_the_one_that_left_is_told_from_those_that_stayed() -> None:
    three = [outcome("a", APART), outcome("b", FLAT), outcome("c", FLAT)]
    assert outsiders(pairs_of(three, {}, BOUNDS)) == [("a", "b")]
    assert outsiders(pairs_of(three[:2], {}, BOUNDS)) == [("a", "b"), ("b", "a")]
    assert outsiders(pairs_of(three[1:], {}, BOUNDS)) == []


def test_two_that_are_near_the_middle_and_far_from_one_another() -> None:
    """The bound holds for every pair, so whoever is farther from all has left."""
    middle, near, far = (2.0,), (1.99994,), (2.00008,)
    three = [outcome("far", far), outcome("middle", middle), outcome("near", near)]
    pairs = pairs_of(three, {}, BOUNDS)
    assert [pair.agrees for pair in pairs] == [True, False, True]
    assert outsiders(pairs) == [("far", "near")]
    told = verdict_of(three, pairs, (), partial=False)
    assert told == "middle and near agree (largest difference 6.0e-5 nats over 1 step)."


def test_first_beyond() -> None:
    assert first_beyond([0.0, 0.0, 0.01], 1e-4) == 2
    assert first_beyond([0.0, 0.0, 0.01], 0.1) is None
    assert first_beyond([0.0, float("inf")], 0.1) == 1


def test_samples_of_different_steps_are_not_compared() -> None:
    early = outcome("a", FLAT).model_copy(update={"sample": "one text", "sample_step": 2})
    late = outcome("b", FLAT).model_copy(update={"sample": "another", "sample_step": 3})
    (pair,) = pairs_of([early, late], {}, BOUNDS)
    assert pair.equal_characters is None
    (pair,) = pairs_of([early, early.model_copy(update={"label": "c"})], {}, BOUNDS)
    assert pair.equal_characters == 8


def test_a_loss_that_all_lose_at_once_is_nobodys() -> None:
    """The settings are to blame, and the verdict says what to try."""
    lost = [outcome(name, FLAT).model_copy(update={"not_finite_at": 4}) for name in "ab"]
    assert strays(lost) == []
    assert "Try a lower --learning-rate" in verdict_of(lost, pairs_of(lost, {}, BOUNDS), (), partial=False)
    assert strays([lost[0], outcome("b", (*FLAT, 2.0))]) == [("a", "b")]
    assert strays([lost[0], outcome("b", (*FLAT, 2.0), "float64")]) == []


@pytest.mark.parametrize(("first", "second", "equal"), [("abc", "abd", 2), ("abc", "abc", 3), ("", "a", 0)])
def test_equal_beginning(first: str, second: str, equal: int) -> None:
    assert equal_beginning(first, second) == equal


def test_where_the_difference_jumps_is_looked_at_first() -> None:
    gaps = [1e-8] * 200
    gaps[120:] = [1e-5] * 80
    gaps[-1] = 2e-4
    steps = candidates(gaps, first_step=11)
    assert {11, 12, 130, 131, 209, 210} <= set(steps)
    assert len(steps) < 30
    assert steps == sorted(steps)


def test_words() -> None:
    agreeing = [outcome("a", FLAT), outcome("b", FLAT), outcome("c", FLAT)]
    told = verdict_of(agreeing, pairs_of(agreeing, {}, BOUNDS), (), partial=False)
    assert told == "a, b and c agree (largest difference 0 nats over 3 steps)."
    two = [outcome("a", FLAT), outcome("b", APART)]
    told = verdict_of(two, pairs_of(two, {}, BOUNDS), (), partial=True)
    assert told.startswith(
        "Interrupted: this is what was done until then. a and b do not agree (largest diff"
    )
    alone = [outcome("a", FLAT)]
    assert verdict_of(alone, (), (), partial=False).startswith("There was no pair to judge")


@pytest.mark.parametrize(("steps", "rounds", "turns"), [(10, 3, [4, 3, 3]), (2, 2, [1, 1]), (7, 1, [7])])
def test_turns_add_up(tmp_path: Path, steps: int, rounds: int, turns: list[int]) -> None:
    config = RunConfig(model=ModelConfig(vocabulary_size=5))
    plan = Plan(config, steps=steps, rounds=rounds, threads=1, folder=tmp_path)
    assert plan.turns() == turns


@pytest.mark.parametrize("first", [1, 1001])
@pytest.mark.parametrize("wrong", [1, 2, 77, 163, 200])
def test_the_first_wrong_step_is_found_between_those_looked_at_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: int, first: int
) -> None:
    """Curves that jump nowhere: the gap between the last sound step and a wrong one is halved, then read whole."""
    looked: list[int] = []

    wrong += first - 1

    def look(_: object, __: object, first: int, steps: Sequence[int], tell: object) -> place._Looked:
        sound = first - 1
        for step in steps:
            looked.append(step)
            if step >= wrong:
                return place._Looked(sound, place.Place(step, "the loss", "", "", ""))
            sound = step
        return place._Looked(sound, None)

    monkeypatch.setattr(place, "_look", look)
    plan = Plan(
        RunConfig(model=ModelConfig(vocabulary_size=5)), steps=200, rounds=1, threads=1, folder=tmp_path
    )
    gaps = (1e-7 * 1.04 ** np.arange(200)).tolist()
    found = place.find_place(Variant("a", "a"), plan, first, gaps, lambda _: None)
    assert found is not None
    assert found.step == wrong
    assert len(looked) < 45


def test_no_wrong_step_is_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(place, "_look", lambda *given: place._Looked(given[3][-1], None))
    plan = Plan(
        RunConfig(model=ModelConfig(vocabulary_size=5)), steps=9, rounds=1, threads=1, folder=tmp_path
    )
    assert place.find_place(Variant("a", "a"), plan, 1, [1e-7] * 9, lambda _: None) is None
