"""What follows from a report's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from charkit_comparison import Report
from charkit_comparison.agreement.control import FACTOR
from charkit_comparison.page import formatting, method, tables, telling
from charkit_comparison.page.facts import Facts
from charkit_comparison.report import Finding, Outcome, Round

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., Report]
Located = Callable[..., Finding]


def timed(outcome: Outcome, speeds: tuple[float | None, ...]) -> Outcome:
    """The same with these speeds, one for each round."""
    rounds = [
        Round(steps=1, seconds=1, characters_per_second=speed, sampling_characters_per_second=speed)
        for speed in speeds
    ]
    return outcome.model_copy(update={"rounds": tuple(rounds)})


def test_ratios_are_paired_by_round(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """Both are slow in the second round; unpaired, the spread would be 1 to 4."""
    fast = timed(make_outcome("fast"), (200.0, 100.0, 210.0))
    slow = timed(make_outcome("slow", 1), (100.0, 50.0, 105.0))
    none = timed(make_outcome("none", 2), ())
    paces = Facts(make_report([slow, fast, none])).speeds.training
    assert [pace.times_as_long for pace in paces] == [2.0, 1.0, None]
    assert [pace.spread for pace in paces] == [(2.0, 2.0), (1.0, 1.0), None]
    assert [pace.median for pace in paces] == [100.0, 200.0, None]


def test_a_round_without_a_speed_pairs_with_nothing(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """The second round of the one is held against the second of the other, not against the first."""
    fast = timed(make_outcome("fast"), (None, 200.0))
    slow = timed(make_outcome("slow", 1), (10.0, 50.0))
    slow_pace = Facts(make_report([fast, slow])).speeds.training[1]
    assert slow_pace.spread == (4.0, 4.0)


def test_the_reference_is_the_one_that_trained_the_control(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """Also where another is nearer to all: the band belongs to the control's own backend."""
    report = make_report([make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)])
    (control,) = report.controls
    assert Facts(report).references["float32"].label == control.variant
    for label in ("one", "two", "three"):
        other = control.model_copy(update={"variant": label})
        facts = Facts(report.model_copy(update={"controls": (other,)}))
        assert facts.references["float32"].label == label


def test_gaps_know_their_largest_and_where_they_leave_the_band(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    base = np.full(5, 2.0)
    report = make_report([make_outcome("one", losses=tuple(base))])
    band = np.asarray(report.controls[0].band)
    off = base + band * np.array([0, 1, 0.9 * FACTOR, 1.1 * FACTOR, 0])
    outcomes = [make_outcome("one", losses=tuple(base)), make_outcome("two", 1, losses=tuple(off))]
    (gap,) = Facts(make_report(outcomes, first_step=101)).gaps
    assert (gap.reference.label, gap.variant.label) == ("one", "two")
    assert gap.largest == pytest.approx(1.1 * FACTOR * band[3])
    assert gap.times_the_control == pytest.approx(1.1 * FACTOR)
    assert (gap.step_of_largest, gap.left_band_at) == (104, 104)


def test_a_loss_that_is_not_finite_is_beyond_the_band(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """As a comparison reports it, cut before the step, and as a number of its own."""
    cut = make_outcome("cut", 1, losses=(2.0, 2.0), status="failed", not_finite_at=3)
    kept = make_outcome("kept", 2, losses=(2.0, float("nan"), 2.0))
    facts = Facts(make_report([make_outcome("one", losses=(2.0, 2.0, 2.0)), cut, kept]))
    gaps = {gap.variant.label: gap for gap in facts.gaps}
    assert gaps["cut"].left_band_at == 3
    assert gaps["cut"].times_the_control == float("inf")
    assert gaps["kept"].left_band_at == 2


def test_what_does_not_decide_is_drawn_against_float32_and_never_judged(report: Report) -> None:
    gaps = {gap.variant.label: gap for gap in Facts(report).gaps}
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
    gaps = Facts(make_report(outcomes)).gaps
    found = [(gap.variant.label, gap.reference.label, gap.control.variant) for gap in gaps if gap.control]
    assert found == [("b", "a", "a"), ("d", "c", "c")]


def test_the_headline_of_an_agreement(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    one, two = make_outcome("one"), make_outcome("two", 1)
    failed = make_outcome("three", 2, steps=0, status="failed", reason="it crashed")
    assert Facts(make_report([one, two])).headline == "Yes, they agree"
    assert Facts(make_report([one, two], partial=True)).headline == "Yes, they agree so far"
    assert Facts(make_report([one, two, failed])).headline == "Yes, those that finished agree"
    assert Facts(make_report([one])).headline == "Yes, every examined step is right"
    assert Facts(make_report([one, two], bound=1e-3)).headline == "Yes, they agree"


def test_the_headline_names_who_is_wrong(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    one, two, long = make_outcome("one"), make_outcome("two", 1), make_outcome("three" * 9, 2)
    assert Facts(make_report([one, two], [located("two")])).headline == "No, two is wrong"
    assert Facts(make_report([one], [located("one")])).headline == "No, one is wrong"
    both = [located("one"), located("two")]
    assert Facts(make_report([one, two], both)).headline == "No, one and two are wrong"
    many = Facts(make_report([one, two, long], [*both, located(long.label)]))
    assert many.headline == "No, 3 backends are wrong"
    assert many.answer == "no"


def test_the_headline_of_curves_that_rounding_does_not_explain(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """No step is wrong, so nobody is named."""
    one, two, near = make_outcome("one"), make_outcome("two", 1, off=1), make_outcome("near", 2)
    assert Facts(make_report([one, two])).headline == "No, they do not agree"
    assert Facts(make_report([one, two, near])).headline == "No, they do not all agree"


def test_the_headline_of_a_bound(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """The steps are right and rounding explains the difference, but the user demanded less."""
    facts = Facts(make_report([make_outcome("one"), make_outcome("two", 1)], bound=1e-9))
    assert facts.headline == "No, they differ by more than the bound"
    assert [facts.judgment(pair) for pair in facts.judged] == ["differ"]


def test_what_was_not_examined_is_undecided(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """Neither a yes nor a no: nothing was found, but not everything was looked at."""
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    failed = Facts(make_report(outcomes, reasons={"two": "it crashed"}))
    assert (failed.answer, failed.headline) == ("none", "Undecided: the examination was not completed")
    assert {(pair.first, pair.second): failed.judgment(pair) for pair in failed.judged} == {
        ("one", "two"): "undecided",
        ("one", "three"): "agree",
        ("two", "three"): "undecided",
    }
    stopped = Facts(make_report(outcomes, partial=True, examined=False))
    assert (stopped.answer, stopped.headline) == ("none", "Undecided so far")
    assert {stopped.judgment(pair) for pair in stopped.judged} == {"undecided"}
    half = [make_outcome("half", precision="bfloat16", decides=False)]
    assert Facts(make_report(half)).headline == "Nothing to judge"


def test_one_who_is_wrong_outweighs_one_who_was_not_examined(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    facts = Facts(make_report(outcomes, [located("three")], reasons={"two": "it crashed"}))
    assert (facts.answer, facts.headline) == ("no", "No, three is wrong")


def test_own_layers_are_beside_the_backend_of_their_framework(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """Round by round: a busy moment that halves both speeds changes nothing."""
    own = {"kind": "own layers", "decides": False}
    facts = Facts(
        make_report(
            [
                timed(make_outcome("torch"), (120, 60, 150)),
                timed(make_outcome("other", 1), (900, 900, 900)),
                make_outcome("torch far away", 2, backend="torch", python="/envs/far/bin/python"),
                timed(make_outcome("plain", 3, backend="torch", **own), (100, 50, 100)),
                make_outcome("Keras", 4, backend="jax", **own),
            ]
        )
    )
    (gain,) = facts.speeds.gains
    assert (gain.own.label, gain.backend.label) == ("plain", "torch")
    assert gain.times_as_fast == pytest.approx(1.2)
    assert gain.spread == pytest.approx((1.2, 1.5))
    row = [cell.text for cell in tables.gains(facts).rows[0]]
    assert row == ["plain (shown only)", "torch", "1.20", "1.20 to 1.50"]


def disturbed(outcome: Outcome, taken: Sequence[float | None]) -> Outcome:
    """The same with so many processors taken by others, one number for each round."""
    rounds = zip(outcome.rounds, taken, strict=True)
    return outcome.model_copy(
        update={"rounds": tuple(one.model_copy(update={"other_processors": share}) for one, share in rounds)}
    )


def test_rounds_that_others_disturbed_are_left_out_for_everyone(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """On two processors with two threads. It would be unfair to leave a round out for the one it hit alone."""
    steady = disturbed(timed(make_outcome("steady"), (200, 200, 200, 200)), (0.0, None, 0.02, 0.0))
    touchy = disturbed(timed(make_outcome("touchy", 1), (20, 10, 400, 300)), (1.0, 0.9, 0.0, 0.05))
    facts = Facts(make_report([steady, touchy]))
    assert facts.speeds.busy == (1, 2)
    assert [pace.median for pace in facts.speeds.training] == [200, 350]
    assert [pace.times_as_long for pace in facts.speeds.training] == [1.75, 1.0]
    assert facts.speeds.training[1].values == (20, 10, 400, 300)
    assert telling.about_busy(facts) == (
        "In rounds 1 and 2 other programs kept up to 1.0 of 2 processors busy; medians and ratios are those of the "
        "other rounds."
    )
    idle = facts.report.model_copy(update={"threads": 1})
    assert Facts(idle).speeds.busy == ()  # there was a processor for each


def test_where_hardly_a_round_is_quiet_all_count(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    one = disturbed(timed(make_outcome("one"), (100, 50, 60)), (0.0, 1.0, 0.8))
    facts = Facts(make_report([one]))
    assert facts.speeds.busy == (2, 3)
    assert facts.speeds.training[0].median == 60
    told = telling.about_busy(facts)
    assert told.endswith("too few rounds were quiet, so all of them count: read the speeds with care.")
    assert telling.about_busy(Facts(make_report([make_outcome("calm")]))) == ""


def test_more_threads_than_processors_make_no_round_busy(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    calm = disturbed(timed(make_outcome("calm"), (100, 100)), (0.02, None))
    assert Facts(make_report([calm], threads=4)).speeds.busy == ()


def test_examined_steps_are_a_row_each(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2)]
    report = make_report(outcomes, [located("two", 20)], reasons={"three": "it took\ntoo long"})
    assert [[cell.text for cell in row] for row in tables.examinations(Facts(report)).rows] == [
        ["one", "4 of 4 match", "3%", "1, 13, 20, 40"],
        ["two", "2 of 3 match", "2.9e6 times", "1, 13, 20"],
        ["three", "not completed: it took too long", formatting.NOTHING, formatting.NOTHING],
    ]
    tones = [row[1].tone for row in tables.examinations(Facts(report)).rows]
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
    limits = [f"{FACTOR * control.band[-1]:.1e}".replace("e-0", "e-") for control in report.controls]
    assert [[cell.text for cell in row] for row in tables.controls(Facts(report)).rows] == [
        ["float32", "one", "3", "6.0e-8", "6.0e-6", limits[0]],
        ["float64", "two", "3", "1.1e-16", "1.1e-14", limits[1]],
    ]


def test_how_the_verdict_was_reached_is_explained(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    plain = " ".join(method.account(Facts(make_report(outcomes))))
    assert (
        "The control in float32: one, trained once more. The rounding unit is 2^-24 of a weight's size."
        in plain
    )
    assert f"more than {FACTOR:g} times as far apart as the control" in plain
    assert "The verdict rests on single training steps" in plain
    assert "--bound" not in plain
    more = " ".join(method.account(Facts(make_report(outcomes, bound=1e-3, trained=4))))
    assert "The control in float32: one, trained 4 more times." in more
    assert "no two losses were allowed to differ by more than 1e-3 nats (--bound)" in more
    stopped = " ".join(method.account(Facts(make_report(outcomes, partial=True, examined=False))))
    assert "The verdict rests" not in stopped
    assert "control" not in stopped


def test_where_nobody_decides_nobody_is_the_reference(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    half = [make_outcome(name, precision="bfloat16", decides=False) for name in ("one", "two")]
    shown = [cell.text for row in tables.losses(Facts(make_report(half))).rows for cell in row]
    assert "is the reference" not in shown
