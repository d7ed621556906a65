"""Speeds are compared round by round, and contended rounds are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.page import descriptions, speed_tables
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Outcome, Round

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]


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
    speeds = ReportView(make_report([slow, fast, none])).speeds.training
    assert [speed.times_as_long for speed in speeds] == [2.0, 1.0, None]
    assert [speed.spread for speed in speeds] == [(2.0, 2.0), (1.0, 1.0), None]
    assert [speed.median for speed in speeds] == [100.0, 200.0, None]


def test_a_round_without_a_speed_pairs_with_nothing(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """The second round of the one is held against the second of the other, not against the first."""
    fast = timed(make_outcome("fast"), (None, 200.0))
    slow = timed(make_outcome("slow", 1), (10.0, 50.0))
    slow_speed = ReportView(make_report([fast, slow])).speeds.training[1]
    assert slow_speed.spread == (4.0, 4.0)


def test_own_layers_are_beside_the_backend_of_their_framework(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """Round by round: a busy moment that halves both speeds changes nothing."""
    own = {"kind": "own layers", "decides": False}
    view = ReportView(
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
    (speedup,) = view.speeds.speedups
    assert (speedup.own.label, speedup.backend.label) == ("plain", "torch")
    assert speedup.times_as_fast == pytest.approx(1.2)
    assert speedup.spread == pytest.approx((1.2, 1.5))
    row = [cell.text for cell in speed_tables.speedups(view).rows[0]]
    assert row == ["plain (not judged)", "torch", "1.20", "1.20 to 1.50"]


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
    view = ReportView(make_report([steady, touchy]))
    assert view.speeds.contended_rounds == (1, 2)
    assert [speed.median for speed in view.speeds.training] == [200, 350]
    assert [speed.times_as_long for speed in view.speeds.training] == [1.75, 1.0]
    assert view.speeds.training[1].values == (20, 10, 400, 300)
    assert descriptions.contention_notice(view) == (
        "In rounds 1 and 2, other programs kept up to 1.0 of 2 processors busy; medians and ratios are those of the "
        "other rounds."
    )
    idle = view.report.model_copy(update={"threads": 1})
    assert ReportView(idle).speeds.contended_rounds == ()  # there was a processor for each


def test_where_hardly_a_round_is_quiet_all_count(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    one = disturbed(timed(make_outcome("one"), (100, 50, 60)), (0.0, 1.0, 0.8))
    view = ReportView(make_report([one]))
    assert view.speeds.contended_rounds == (2, 3)
    assert view.speeds.training[0].median == 60
    notice = descriptions.contention_notice(view)
    assert notice.endswith("too few rounds were quiet, so all rounds count: treat the speeds with caution.")
    assert descriptions.contention_notice(ReportView(make_report([make_outcome("calm")]))) == ""


def test_more_threads_than_processors_make_no_round_busy(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    calm = disturbed(timed(make_outcome("calm"), (100, 100)), (0.02, None))
    assert ReportView(make_report([calm], threads=4)).speeds.contended_rounds == ()
