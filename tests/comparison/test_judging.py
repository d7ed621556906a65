"""Who agrees with whom, which steps are examined, where an error is looked for, and in which words it is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit.config import ModelConfig, RunConfig
from charkit_comparison.agreement import locate
from charkit_comparison.agreement.agreement import (
    equal_beginning,
    first_beyond,
    gaps_of,
    left_band,
    nearest_to_all,
    pairs_of,
)
from charkit_comparison.agreement.control import (
    FACTOR,
    FLOOR_UNITS,
    ROUNDING_UNITS,
    band,
    excess,
    moved_weights,
)
from charkit_comparison.agreement.examination import steps_to_examine
from charkit_comparison.agreement.findings import Examined
from charkit_comparison.agreement.locate import candidates
from charkit_comparison.agreement.step_errors import StepError
from charkit_comparison.plan import DECIDING_PRECISIONS, Plan, Variant
from charkit_comparison.report import Control, Examination, Finding, Outcome, Pair
from charkit_comparison.verdict import verdict_of

FLAT = (2.0, 2.0, 2.0)
APART = (2.0, 2.0, 2.02)
NARROW = np.full(3, 1e-5)


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
            "decides": kind == "backend" and precision in DECIDING_PRECISIONS,
            "status": "done",
            "losses": losses,
            "gradient_norms": [1.0] * len(losses),
        }
    )


def pairs(outcomes: Sequence[Outcome], within: Any = NARROW, **more: Any) -> tuple[Pair, ...]:
    """The pairs of these outcomes in float32 with such a band, nothing wrong in any of them."""
    given = {
        "weights": {},
        "bands": {"float32": within},
        "wrong": (),
        "explained": (),
        "bound": None,
        "first_step": 1,
    }
    return pairs_of(outcomes, **{**given, **more})


# ---- pairs ---------------------------------------------------------------------------------------------------


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
    assert gaps_of(lost, further).tolist() == [0.0, 0.0, 0.0, np.inf]
    assert left_band(lost, further, np.full(4, 1e-3)) == 3
    assert left_band(lost, further, np.array([1e-3, 1e-3, 1e-3, np.inf])) is None  # the control lost it too
    both = lost.model_copy(update={"label": "c"})
    assert gaps_of(lost, both).tolist() == [0.0, 0.0, 0.0]


def test_samples_of_different_steps_are_not_compared() -> None:
    early = outcome("a", FLAT).model_copy(update={"sample": "one text", "sample_step": 2})
    late = outcome("b", FLAT).model_copy(update={"sample": "another", "sample_step": 3})
    assert pairs([early, late])[0].equal_characters is None
    assert pairs([early, early.model_copy(update={"label": "c"})])[0].equal_characters == 8


@pytest.mark.parametrize(("first", "second", "equal"), [("abc", "abd", 2), ("abc", "abc", 3), ("", "a", 0)])
def test_equal_beginning(first: str, second: str, equal: int) -> None:
    assert equal_beginning(first, second) == equal


def test_the_reference_is_nearest_to_all() -> None:
    middle = [outcome("far", (2.3,)), outcome("middle", (2.0,)), outcome("near", (1.9,))]
    assert nearest_to_all(middle).label == "middle"
    assert nearest_to_all(middle[:2]).label == "far"  # of two equally near, the first


def test_first_beyond() -> None:
    assert first_beyond([0.0, 0.0, 0.01], 1e-4) == 2
    assert first_beyond([0.0, 0.0, 0.01], 0.1) is None
    assert first_beyond([0.0, float("inf")], 0.1) == 1
    assert first_beyond([0.0, float("nan")], 0.1) == 1


# ---- the control ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", DECIDING_PRECISIONS)
def test_weights_are_moved_by_one_rounding_unit(precision: str) -> None:
    weights = {"w": np.linspace(-1.0, 1.0, 201), "b": np.zeros(5)}
    moved = moved_weights(weights, precision, seed=3, number=1)
    dtype = np.dtype(precision)
    rounded = weights["w"].astype(dtype)
    assert moved["w"].dtype == dtype
    change = (moved["w"].astype(np.longdouble) - rounded) / np.where(rounded == 0, 1, rounded)
    sizes = np.abs(change[rounded != 0]) / np.longdouble(ROUNDING_UNITS[precision])
    assert sizes.min() >= 0.99
    assert sizes.max() <= 2.01
    assert 0.3 < np.mean(change > 0) < 0.7
    assert not moved["b"].any()  # what is zero stays zero
    assert np.array_equal(moved["w"], moved_weights(weights, precision, seed=3, number=1)["w"])
    assert not np.array_equal(moved["w"], moved_weights(weights, precision, seed=3, number=2)["w"])
    assert not np.array_equal(moved["w"], moved_weights(weights, precision, seed=4, number=1)["w"])


def test_the_band_is_the_largest_difference_so_far_and_never_below_its_floor() -> None:
    reference, control = [4.0, 3.0, 2.0, 1.0], [4.0, 3.01, 2.0, 1.0]
    floor = 4.0 * FLOOR_UNITS * 2.0**-24
    assert band(reference, control, "float32").tolist() == pytest.approx([floor, 0.01, 0.01, 0.01])
    assert band(reference, [4.0, float("nan")], "float32").tolist() == pytest.approx([floor, np.inf])


def test_excess_is_a_multiple_of_the_band() -> None:
    assert excess([0.1, 0.1, np.inf, np.nan], np.array([0.1, 0.01, 0.1, 0.1])).tolist() == pytest.approx(
        [1.0, 10.0, np.inf, np.inf]
    )
    assert excess([1.0, np.inf], np.array([np.inf, np.inf])).tolist() == [0.0, 0.0]


# ---- which steps are examined --------------------------------------------------------------------------------


def chosen(
    reference: Sequence[float], others: Sequence[Sequence[float]], at_random: int, seed: int = 0
) -> list[int]:
    """The steps to examine of such curves, the first of which is step 11."""
    return steps_to_examine(
        reference, others, precision="float32", first_step=11, at_random=at_random, seed=seed
    )


def test_the_first_step_the_last_and_where_curves_part_fastest_are_examined() -> None:
    flat = [2.0] * 100
    slow = [2.0 + 1e-5 * 1.01**index for index in range(100)]
    jump = [2.0 + (1e-3 if index >= 60 else 0.0) for index in range(100)]
    assert chosen(flat, [], 0) == [11, 110]
    assert chosen(flat, [jump], 0) == [11, 71, 110]
    assert set(chosen(flat, [jump, slow], 0)) >= {11, 71, 110}
    assert chosen([2.0], [], 4) == [11]
    assert chosen([], [], 4) == []


def test_steps_are_drawn_at_random_by_the_seed() -> None:
    flat = [2.0] * 100
    drawn = chosen(flat, [], 5)
    assert len(drawn) == 7
    assert drawn == sorted(set(drawn))
    assert drawn == chosen(flat, [], 5)
    assert drawn != chosen(flat, [], 5, seed=1)
    assert chosen(flat[:4], [], 9) == [11, 12, 13, 14]


# ---- where an error is looked for ----------------------------------------------------------------------------


def test_where_the_difference_jumps_is_examined_first() -> None:
    gaps = [1e-8] * 200
    gaps[120:] = [1e-5] * 80
    gaps[-1] = 2e-4
    steps = candidates(gaps, first_step=11)
    assert {11, 12, 130, 131, 209, 210} <= set(steps)
    assert len(steps) < 30
    assert steps == sorted(steps)


def a_plan(folder: Path, steps: int) -> Plan:
    """A plan of so many steps in one round."""
    return Plan(
        RunConfig(model=ModelConfig(vocabulary_size=5)), steps=steps, rounds=1, threads=1, folder=folder
    )


@pytest.mark.parametrize("first", [1, 1001])
@pytest.mark.parametrize("wrong", [1, 2, 77, 163, 200])
def test_the_first_wrong_step_is_found_between_those_examined_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: int, first: int
) -> None:
    """Curves that jump nowhere: the gap between the last right step and a wrong one is halved, then read whole."""
    examined: list[int] = []
    wrong += first - 1

    def examine(_: object, __: object, first: int, steps: Sequence[int], *___: object) -> locate._Examined:
        right = first - 1
        for count, step in enumerate(steps, start=1):
            examined.append(step)
            if step >= wrong:
                return locate._Examined(count, right, StepError(step, "the loss", "", "", ""))
            right = step
        return locate._Examined(len(steps), right, None)

    monkeypatch.setattr(locate, "_examine", examine)
    gaps = (1e-7 * 1.04 ** np.arange(200)).tolist()
    count, error = locate.locate_error(Variant("a", "a"), a_plan(tmp_path, 200), first, gaps, lambda *_: None)
    assert error is not None
    assert error.step == wrong
    assert count == len(examined) < 45


def test_no_wrong_step_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        locate, "_examine", lambda *given: locate._Examined(len(given[3]), given[3][-1], None)
    )
    found = locate.locate_error(Variant("a", "a"), a_plan(tmp_path, 9), 1, [1e-7] * 9, lambda *_: None)
    assert found == (9, None)


@pytest.mark.parametrize(("steps", "rounds", "turns"), [(10, 3, [4, 3, 3]), (2, 2, [1, 1]), (7, 1, [7])])
def test_turns_add_up(tmp_path: Path, steps: int, rounds: int, turns: list[int]) -> None:
    config = RunConfig(model=ModelConfig(vocabulary_size=5))
    plan = Plan(config, steps=steps, rounds=rounds, threads=1, folder=tmp_path)
    assert plan.turns() == turns


# ---- in words ------------------------------------------------------------------------------------------------


def examined(
    *labels: str, wrong: Sequence[Finding] = (), control: float = 0.11, reason: str = ""
) -> Examined:
    """What the examination of six steps of each found; ``reason``: the last could not be examined, and why."""
    found = Examined("float32", band=NARROW, findings=list(wrong))
    found.control = Control(
        precision="float32",
        variant=labels[0],
        rounding_unit=2**-24,
        trained=1,
        losses=FLAT,
        largest_loss_difference=control,
        band=tuple(NARROW),
        factor=FACTOR,
    )
    located = {finding.variant for finding in wrong if finding.step is not None}
    for label in labels:
        told = reason if label == labels[-1] else ""
        right = label not in located
        found.examinations.append(
            Examination(
                variant=label,
                steps=() if told else (1, 2, 3, 4, 5, 6)[: 6 if right else 1],
                matching=0 if told else 6 * right,
                largest_share_of_bound=None if told else 0.1,
                reason=told,
            )
        )
    return found


def said(outcomes: Sequence[Outcome], group: Examined | None, *, partial: bool = False, **more: Any) -> str:
    """The verdict on these outcomes."""
    found = [group] if group is not None else []
    wrong = group.wrong if group is not None else ()
    return verdict_of(
        outcomes, pairs(outcomes, wrong=wrong, **more), found, bound=more.get("bound"), partial=partial
    )


LOCATED = Finding(
    variant="b",
    reference="a",
    by_nats=0.02,
    step=2,
    array="the logits",
    look_at="it looks like a thing; see x.py",
)


def test_words_of_agreement() -> None:
    three = [outcome(name, FLAT) for name in "abc"]
    assert said(three, examined("a", "b", "c")) == (
        "a, b and c agree: 18 of 18 examined steps match the float64 reference; "
        "the curves are equal to the last bit."
    )
    two = [outcome("a", FLAT), outcome("b", APART)]
    assert said(two, examined("a", "b")) == (
        "a and b agree: 12 of 12 examined steps match the float64 reference; the curves differ by up to 0.020 nats, "
        "within what rounding does here (control: 0.11)."
    )
    assert "which is what rounding does here (control: 0.0010)" not in said(
        two, examined("a", "b", control=0.02)
    )
    assert "which is what rounding does here (control: 5.0e-3)" in said(
        two, examined("a", "b", control=0.005)
    )


def test_words_of_a_located_error() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    assert said(two, examined("a", "b", wrong=[LOCATED])) == (
        "a is right: 6 of 6 examined steps match the float64 reference. b is wrong: its step 2 differs from the "
        "float64 reference, first in the logits (it looks like a thing; see x.py); "
        "its loss differs from a's by up to 0.020 nats."
    )
    alone = [outcome("b", FLAT)]
    finding = LOCATED.model_copy(update={"reference": "", "by_nats": 0.0, "look_at": ""})
    assert said(alone, examined("b", wrong=[finding])) == (
        "b is wrong: its step 2 differs from the float64 reference, first in the logits."
    )


def test_words_of_curves_that_rounding_does_not_explain() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    finding = Finding(
        variant="b", reference="a", by_nats=0.02, differs_from_step=3, look_at="where they part, 4 of 4 match"
    )
    assert said(two, examined("a", "b", wrong=[finding])) == (
        "a and b do not agree: 12 of 12 examined steps match the float64 reference, but from step 3 on their losses "
        "are further apart than rounding explains, up to 2.0e3 times as far; where they part, 4 of 4 match."
    )


def test_words_of_curves_that_are_further_apart_and_right_at_every_step() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    group = examined("a", "b")
    group.explained.add(frozenset({"a", "b"}))
    (pair,) = pairs(two, explained=group.explained)
    assert pair.left_band_at is not None
    assert pair.agrees is True
    assert said(two, group, explained=group.explained) == (
        "a and b agree: 12 of 12 examined steps match the float64 reference; the curves differ by up to 0.020 nats, "
        "at some steps further than the control, but every examined step where they part is right (control: 0.11)."
    )


def test_words_of_a_bound_that_is_exceeded() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    told = said(two, examined("a", "b"), within=np.full(3, 0.01), bound=0.001)
    assert told.startswith("a and b are right: 12 of 12 examined steps match")
    assert told.endswith("a and b differ by up to 0.020 nats over 3 steps, more than the bound of 1.0e-3.")


def test_words_of_what_was_not_examined() -> None:
    two = [outcome("a", FLAT), outcome("b", FLAT)]
    told = said(two, examined("a", "b", reason="its process was killed"))
    assert told == (
        "a is right: 6 of 6 examined steps match the float64 reference. "
        "b could not be examined: its process was killed."
    )
    assert said(two, Examined("float32", notes=["a: the control failed: no memory"])) == (
        "No step in float32 could be examined: a: the control failed: no memory."
    )
    assert said(two, Examined("float32"), partial=True) == (
        "Interrupted: this is what was done until then. No step in float32 could be examined: that was not reached."
    )
    assert said([], None).startswith("There was nothing to judge")


def test_a_loss_that_all_lose_at_once_is_nobodys() -> None:
    """The settings are to blame, and the verdict says what to try."""
    lost = [outcome(name, FLAT).model_copy(update={"not_finite_at": 4}) for name in "ab"]
    advice = "Try a lower --learning-rate"
    assert advice in said(lost, examined("a", "b"))
    assert advice not in said([lost[0], outcome("b", (*FLAT, 2.0))], examined("a", "b"))
    assert advice in said([lost[0], outcome("b", (*FLAT, 2.0), "float64")], examined("a"))
