"""What follows from a report's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from charkit.comparison import Report
from charkit.comparison.agreement import outsiders
from charkit.comparison.report import Outcome, Round
from charkit_reports import tables, telling
from charkit_reports.facts import Facts

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., Report]


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


def test_the_reference_is_the_one_that_departures_are_measured_against(report: Report) -> None:
    facts = Facts(report)
    assert {reference for _, reference in outsiders(report.pairs)} == {facts.references["float32"].label}


def test_gaps_know_their_largest_and_the_first_beyond_the_bound(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    base = np.full(5, 2.0)
    off = base + np.array([0, 5e-5, 2e-4, 9e-4, 0])
    outcomes = [make_outcome("one", losses=tuple(base)), make_outcome("two", 1, losses=tuple(off))]
    (gap,) = Facts(make_report(outcomes, first_step=101)).gaps
    assert (gap.reference.label, gap.variant.label) == ("one", "two")
    assert gap.largest == pytest.approx(9e-4)
    assert (gap.step_of_largest, gap.beyond_from) == (104, 103)


def test_what_is_not_a_number_is_beyond_the_bound(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    lost = make_outcome("lost", 1, losses=(2.0, float("nan"), 2.0))
    gaps = Facts(make_report([make_outcome("one", losses=(2.0, 2.0, 2.0)), lost])).gaps
    assert [gap.beyond_from for gap in gaps] == [2]


def test_what_does_not_decide_is_drawn_against_float32_and_never_judged(report: Report) -> None:
    gaps = {gap.variant.label: gap for gap in Facts(report).gaps}
    for label in ("torch bfloat16", "plain torch.nn.LSTM"):
        assert gaps[label].bound is None
        assert gaps[label].beyond_from is None
        assert gaps[label].reference.outcome.precision == "float32"


def test_each_precision_has_a_reference_of_its_own(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    outcomes = [
        make_outcome("a", 0),
        make_outcome("b", 1),
        make_outcome("c", 2, precision="float64", off=1e-12),
        make_outcome("d", 3, precision="float64", off=1e-12),
    ]
    gaps = Facts(make_report(outcomes)).gaps
    assert [(gap.variant.label, gap.reference.label, gap.bound) for gap in gaps] == [
        ("b", "a", 1e-4),
        ("d", "c", 1e-9),
    ]


def test_the_answer(make_outcome: MakeOutcome, make_report: MakeReport, report: Report) -> None:
    one, two = make_outcome("one"), make_outcome("two", 1)
    failed = make_outcome("three", 2, steps=0, status="failed", reason="it crashed")
    assert Facts(make_report([one, two])).headline == "Yes, they agree"
    assert Facts(make_report([one, two], partial=True)).headline == "Yes, they agree so far"
    assert Facts(make_report([one, two, failed])).headline == "Yes, those that finished agree"
    assert Facts(make_report([one, make_outcome("two", 1, off=1)])).headline == "No, they do not agree"
    assert Facts(make_report([one])).headline == "Nothing to judge"
    assert Facts(report).headline == "No, they do not all agree"


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


def test_where_nobody_decides_nobody_is_the_reference(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    half = [make_outcome(name, precision="bfloat16", decides=False) for name in ("one", "two")]
    shown = [cell.text for row in tables.losses(Facts(make_report(half))).rows for cell in row]
    assert "is the reference" not in shown
