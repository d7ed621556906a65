"""The view of a report: references, gaps, headlines and judgments, and the tables made from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.agreement.rounding_control import BAND_FACTOR
from charkit_comparison.page import agreement_tables, method_section
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Finding, Outcome
from charkit_pages import formatting

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]
Located = Callable[..., Finding]


def test_the_reference_is_the_one_that_trained_the_control(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """Also where another is nearer to all: the band belongs to the control's own backend."""
    report = make_report([make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)])
    (control,) = report.controls
    assert ReportView(report).references["float32"].label == control.variant
    for label in ("one", "two", "three"):
        other = control.model_copy(update={"variant": label})
        view = ReportView(report.model_copy(update={"controls": (other,)}))
        assert view.references["float32"].label == label


def test_gaps_know_their_largest_and_where_they_leave_the_band(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    base = np.full(5, 2.0)
    report = make_report([make_outcome("one", losses=tuple(base))])
    band = np.asarray(report.controls[0].band)
    off = base + band * np.array([0, 1, 0.9 * BAND_FACTOR, 1.1 * BAND_FACTOR, 0])
    outcomes = [make_outcome("one", losses=tuple(base)), make_outcome("two", 1, losses=tuple(off))]
    (gap,) = ReportView(make_report(outcomes, first_step=101)).gaps
    assert (gap.reference.label, gap.variant.label) == ("one", "two")
    assert gap.largest == pytest.approx(1.1 * BAND_FACTOR * band[3])
    assert gap.times_the_control == pytest.approx(1.1 * BAND_FACTOR)
    assert (gap.step_of_largest, gap.left_band_at) == (104, 104)


def test_a_loss_that_is_not_finite_is_beyond_the_band(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """As a comparison reports it, cut before the step, and as a number of its own."""
    cut = make_outcome("cut", 1, losses=(2.0, 2.0), status="failed", not_finite_at=3)
    kept = make_outcome("kept", 2, losses=(2.0, float("nan"), 2.0))
    view = ReportView(make_report([make_outcome("one", losses=(2.0, 2.0, 2.0)), cut, kept]))
    gaps = {gap.variant.label: gap for gap in view.gaps}
    assert gaps["cut"].left_band_at == 3
    assert gaps["cut"].times_the_control == float("inf")
    assert gaps["kept"].left_band_at == 2


def test_what_does_not_decide_is_drawn_against_float32_and_never_judged(report: ComparisonReport) -> None:
    gaps = {gap.variant.label: gap for gap in ReportView(report).gaps}
    assert gaps["torch"].control is not None
    for label in ("torch bfloat16", "plain torch.nn.LSTM"):
        assert gaps[label].control is None
        assert gaps[label].left_band_at is None
        assert gaps[label].times_the_control is None
        assert gaps[label].reference.outcome.precision == "float32"


def test_each_precision_has_a_reference_and_a_control_of_its_own(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    outcomes = [
        make_outcome("a", 0),
        make_outcome("b", 1),
        make_outcome("c", 2, precision="float64", off=1e-16),
        make_outcome("d", 3, precision="float64", off=1e-16),
    ]
    gaps = ReportView(make_report(outcomes)).gaps
    found = [(gap.variant.label, gap.reference.label, gap.control.variant) for gap in gaps if gap.control]
    assert found == [("b", "a", "a"), ("d", "c", "c")]


def test_the_headline_of_an_agreement(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    one, two = make_outcome("one"), make_outcome("two", 1)
    failed = make_outcome("three", 2, steps=0, status="failed", reason="it crashed")
    assert ReportView(make_report([one, two])).headline == "Yes, they agree"
    assert ReportView(make_report([one, two], partial=True)).headline == "Yes, they agree so far"
    assert ReportView(make_report([one, two, failed])).headline == "Yes, those that finished agree"
    assert ReportView(make_report([one])).headline == "Yes, every examined step is correct"
    assert ReportView(make_report([one, two], bound=1e-3)).headline == "Yes, they agree"


def test_the_headline_names_who_is_wrong(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    one, two, long = make_outcome("one"), make_outcome("two", 1), make_outcome("three" * 9, 2)
    assert ReportView(make_report([one, two], [located("two")])).headline == "No, two is wrong"
    assert ReportView(make_report([one], [located("one")])).headline == "No, one is wrong"
    both = [located("one"), located("two")]
    assert ReportView(make_report([one, two], both)).headline == "No, one and two are wrong"
    many = ReportView(make_report([one, two, long], [*both, located(long.label)]))
    assert many.headline == "No, 3 backends are wrong"
    assert many.answer == "no"


def test_the_headline_of_curves_that_rounding_does_not_explain(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """No step is wrong, so no backend is named."""
    one, two, near = make_outcome("one"), make_outcome("two", 1, off=1), make_outcome("near", 2)
    assert ReportView(make_report([one, two])).headline == "No, they do not agree"
    assert ReportView(make_report([one, two, near])).headline == "No, they do not all agree"


def test_the_headline_of_a_bound(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """The steps are right and rounding explains the difference, but the user demanded less."""
    view = ReportView(make_report([make_outcome("one"), make_outcome("two", 1)], bound=1e-9))
    assert view.headline == "No, they differ by more than the bound"
    assert [view.judgment(pair) for pair in view.judged] == ["differ"]


def test_what_was_not_examined_is_undecided(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """Neither a yes nor a no: nothing was found, but not everything was looked at."""
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    failed = ReportView(make_report(outcomes, reasons={"two": "it crashed"}))
    assert (failed.answer, failed.headline) == ("none", "Undecided: the examination was not completed")
    assert {(pair.first, pair.second): failed.judgment(pair) for pair in failed.judged} == {
        ("one", "two"): "undecided",
        ("one", "three"): "agree",
        ("two", "three"): "undecided",
    }
    stopped = ReportView(make_report(outcomes, partial=True, examined=False))
    assert (stopped.answer, stopped.headline) == ("none", "Undecided so far")
    assert {stopped.judgment(pair) for pair in stopped.judged} == {"undecided"}
    half = [make_outcome("half", precision="bfloat16", decides=False)]
    assert ReportView(make_report(half)).headline == "Nothing to judge"


def test_one_who_is_wrong_outweighs_one_who_was_not_examined(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    view = ReportView(make_report(outcomes, [located("three")], reasons={"two": "it crashed"}))
    assert (view.answer, view.headline) == ("no", "No, three is wrong")


def test_examined_steps_are_a_row_each(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    report = make_report(outcomes, [located("two", 20)], reasons={"three": "it took\ntoo long"})
    assert [
        [cell.text for cell in row] for row in agreement_tables.examinations(ReportView(report)).rows
    ] == [
        ["one", "4 of 4 matching", "3%", "1, 13, 20, 40"],
        ["two", "2 of 3 matching", "2.9e6 times", "1, 13, 20"],
        ["three", "not completed: it took too long", formatting.NOTHING, formatting.NOTHING],
    ]
    tones = [row[1].tone for row in agreement_tables.examinations(ReportView(report)).rows]
    assert tones == ["good", "bad", "bad"]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, formatting.NOTHING), (0, "0%"), (3e-8, "< 0.0001%"), (0.0042, "0.4%"), (0.031, "3%"), (9.5, "950%"),
     (12, "12 times"), (2.9e6, "2.9e6 times"), (float("inf"), "infinite"), (float("nan"), "not a number")],
)  # fmt: skip
def test_shares_of_a_bound(share: float | None, shown: str) -> None:
    assert formatting.share(share) == shown


def test_controls_are_a_row_each(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1, precision="float64", off=0)]
    report = make_report(outcomes, trained=3)
    limits = [f"{BAND_FACTOR * control.band[-1]:.1e}".replace("e-0", "e-") for control in report.controls]
    assert [[cell.text for cell in row] for row in agreement_tables.controls(ReportView(report)).rows] == [
        ["float32", "one", "3", "6.0e-8", "6.0e-6", limits[0]],
        ["float64", "two", "3", "1.1e-16", "1.1e-14", limits[1]],
    ]


def test_how_the_verdict_was_reached_is_explained(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    plain = " ".join(method_section.procedure(ReportView(make_report(outcomes))))
    assert (
        "In float32, the control was one, trained once more. The rounding unit is 2^-24 times a weight's magnitude."
        in plain
    )
    assert f"more than {BAND_FACTOR:g} times as far apart as the control" in plain
    assert "The verdict rests on individual training steps" in plain
    assert "`bound`" not in plain
    more = " ".join(method_section.procedure(ReportView(make_report(outcomes, bound=1e-3, trained=4))))
    assert "In float32, the control was one, trained 4 more times." in more
    assert "no two losses at the same step were allowed to differ by more than 1e-3 nats (`bound`)" in more
    stopped = " ".join(
        method_section.procedure(ReportView(make_report(outcomes, partial=True, examined=False)))
    )
    assert "The verdict rests" not in stopped
    assert "control" not in stopped


def test_where_nobody_decides_nobody_is_the_reference(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    half = [make_outcome(name, precision="bfloat16", decides=False) for name in ("one", "two")]
    shown = [cell.text for row in agreement_tables.losses(ReportView(make_report(half))).rows for cell in row]
    assert "is the reference" not in shown
