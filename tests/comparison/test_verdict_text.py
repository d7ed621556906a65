"""The words of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charkit_comparison.agreement.findings import PrecisionFindings
from charkit_comparison.agreement.verdict_text import verdict_text
from charkit_comparison.report_parts import Finding, Outcome
from comparison_support import APART, FLAT, examined, outcome, pairs


def verdict_of(
    outcomes: Sequence[Outcome],
    group: PrecisionFindings | None,
    *,
    partial: bool = False,
    clips: bool = True,
    **more: Any,
) -> str:
    """The verdict on these outcomes."""
    found = [group] if group is not None else []
    wrong = group.wrong if group is not None else ()
    return verdict_text(
        outcomes,
        pairs(outcomes, wrong=wrong, **more),
        found,
        bound=more.get("bound"),
        partial=partial,
        clips=clips,
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
    assert verdict_of(three, examined("a", "b", "c")) == (
        "a, b and c agree: 18 of 18 examined steps match the float64 reference; "
        "the curves are identical down to the last bit."
    )
    two = [outcome("a", FLAT), outcome("b", APART)]
    assert verdict_of(two, examined("a", "b")) == (
        "a and b agree: 12 of 12 examined steps match the float64 reference; the curves differ by up to 0.020 nats, "
        "no more than rounding explains (rounding alone: 0.11)."
    )
    assert "no more than rounding explains (rounding alone: 5.0e-3)" in verdict_of(
        two, examined("a", "b", control=0.005)
    )


def test_words_of_a_located_error() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    assert verdict_of(two, examined("a", "b", wrong=[LOCATED])) == (
        "a is correct: 6 of 6 examined steps match the float64 reference. b is wrong: its step 2 differs from the "
        "float64 reference, first in the logits (it looks like a thing; see x.py); "
        "its loss differs from a's by up to 0.020 nats."
    )
    alone = [outcome("b", FLAT)]
    finding = LOCATED.model_copy(update={"reference": "", "by_nats": 0.0, "look_at": ""})
    assert verdict_of(alone, examined("b", wrong=[finding])) == (
        "b is wrong: its step 2 differs from the float64 reference, first in the logits."
    )


def test_words_of_curves_that_rounding_does_not_explain() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    finding = Finding(
        variant="b",
        reference="a",
        by_nats=0.02,
        differs_from_step=3,
        look_at="where they diverge, 4 of 4 match",
    )
    assert verdict_of(two, examined("a", "b", wrong=[finding])) == (
        "a and b do not agree: 12 of 12 examined steps match the float64 reference, but their losses differ by "
        "more than rounding explains, first at step 3 (up to 2.0e3 times as much as rounding alone); "
        "where they diverge, 4 of 4 match."
    )


def test_words_of_curves_that_are_further_apart_and_right_at_every_step() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    group = examined("a", "b")
    group.explained.add(frozenset({"a", "b"}))
    (pair,) = pairs(two, explained=group.explained)
    assert pair.left_band_at is not None
    assert pair.agrees is True
    assert verdict_of(two, group, explained=group.explained) == (
        "a and b agree: 12 of 12 examined steps match the float64 reference; the curves differ by up to 0.020 nats, "
        "at some steps by more than rounding alone, but every examined step where they diverge is correct "
        "(rounding alone: 0.11)."
    )


def test_words_of_a_bound_that_is_exceeded() -> None:
    two = [outcome("a", FLAT), outcome("b", APART)]
    text = verdict_of(two, examined("a", "b"), band=np.full(3, 0.01), bound=0.001)
    assert text.startswith("a and b are correct: 12 of 12 examined steps match")
    assert text.endswith("a and b differ by up to 0.020 nats over 3 steps, more than the bound of 1.0e-3.")


def test_words_of_what_was_not_examined() -> None:
    two = [outcome("a", FLAT), outcome("b", FLAT)]
    text = verdict_of(two, examined("a", "b", reason="its process was killed"))
    assert text == (
        "a is correct: 6 of 6 examined steps match the float64 reference. "
        "b could not be examined: its process was killed."
    )
    assert verdict_of(two, PrecisionFindings("float32", 1, notices=["a: the control failed: no memory"])) == (
        "No step in float32 could be examined: a: the control failed: no memory."
    )
    assert verdict_of(two, PrecisionFindings("float32", 1), partial=True) == (
        "Interrupted: these are the results so far. No step in float32 could be examined: the comparison ended "
        "too early."
    )
    assert verdict_of([], None).startswith("There is nothing to judge")


def test_where_every_loss_stops_being_finite_at_once_the_settings_are_to_blame() -> None:
    """The verdict says what to try."""
    lost = [outcome(name, FLAT).model_copy(update={"not_finite_at": 4}) for name in "ab"]
    advice = "Try a lower `learning_rate`"
    assert f"{advice} or `grad_clip`." in verdict_of(lost, examined("a", "b"))
    off = f"{advice} or clipping (`grad_clip`), which is off."
    assert off in verdict_of(lost, examined("a", "b"), clips=False)
    assert advice not in verdict_of([lost[0], outcome("b", (*FLAT, 2.0))], examined("a", "b"))
    assert advice in verdict_of([lost[0], outcome("b", (*FLAT, 2.0), "float64")], examined("a"))
