"""What comes next follows from settings and journal alone: by ASHA's rule, after any kill, in any order of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charkit.errors import RunError
from charkit_sweep.decisions import SweepState, next_assignment, state_of
from charkit_sweep.journal import Assigned, Entry, Extended, Failed, Reached, Retried
from charkit_sweep.spec import SweepSpec
from charkit_sweep.spec_reading import spec_from_table
from sweep_support import reached, spec_of

LENGTH = 18

RATE = "optimizer.learning_rate"
VALUES = {RATE: 0.01}


def spec(**changes: Any) -> SweepSpec:
    return spec_from_table(spec_of(None, **changes))


def follow(sweep: SweepSpec, loss: Callable[[int, int], float]) -> tuple[SweepState, list[tuple[int, int]]]:
    """Runs a sweep by one worker; ``loss`` is that of a trial after so many steps."""
    state, made = SweepState(sweep), []
    while (entry := next_assignment(state)) is not None:
        state = state.after(entry)
        step = state.until(entry.level) or LENGTH
        state = state.after(reached(entry.trial, step, loss(entry.trial, step)))
        made.append((entry.trial, entry.level))
    return state, made


def test_one_worker_promotes_as_soon_as_a_rung_has_enough() -> None:
    losses = [5.0, 3.0, 4.0, 2.0, 9.0, 8.0, 7.0, 6.0, 1.0]
    state, made = follow(spec(), lambda trial, step: losses[trial - 1] - step / 100)
    assert made == [
        (1, 0), (2, 0), (3, 0), (2, 1),  # the best of three
        (4, 0), (4, 1), (5, 0), (6, 0),  # 4 is the best of four; of six, the best two have gone on already
        (7, 0), (8, 0), (9, 0), (9, 1),  # 9 is the best of nine; with 2 and 4 it makes three at the second rung
        (9, 2),
    ]  # fmt: skip
    assert state.best is not None
    assert (state.best.number, state.best.status) == (9, "finished")


def test_without_halving_every_trial_goes_to_its_end() -> None:
    state, made = follow(spec(halving=None, trials=4), lambda trial, _step: float(trial))
    assert made == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert [trial.status for trial in state.trials] == ["finished"] * 4


@pytest.mark.parametrize("trials", [1, 2, 4, 5])
def test_one_trial_is_always_trained_whole(trials: int) -> None:
    state, _ = follow(spec(trials=trials), lambda trial, _step: 1.0 + trial)
    assert [trial.number for trial in state.having("finished")] == [1]
    assert len(state.having("finished")) + len(state.having("stopped")) == trials


def test_while_a_trial_runs_nothing_is_promoted_that_only_an_end_would_promote() -> None:
    sweep = spec(trials=2)
    entries: list[Entry] = [
        Assigned(trial=1, level=0, values=VALUES),
        Assigned(trial=2, level=0, values=VALUES),
    ]
    state = state_of(sweep, [*entries, reached(1, 2, 3.0)])
    assert next_assignment(state) is None
    assert next_assignment(state.after(reached(2, 2, 4.0))) == Assigned(trial=1, level=1)


def test_one_that_diverged_counts_as_the_worst_and_never_goes_on() -> None:
    sweep = spec(trials=3)
    entries: list[Entry] = [Assigned(trial=number, level=0, values=VALUES) for number in (1, 2, 3)]
    entries += [reached(1, 2, 3.0), reached(2, 2, 4.0)]
    assert next_assignment(state_of(sweep, entries)) is None  # the third may be better
    diverged = state_of(sweep, [*entries, Failed(trial=3, reason="not finite", diverged=True)])
    assert diverged.trials[2].losses == {0: inf}
    assert next_assignment(diverged) == Assigned(trial=1, level=1)


def test_one_that_diverged_after_a_rung_has_no_loss_and_is_never_the_best() -> None:
    entries: list[Entry] = [Assigned(trial=number, level=0, values=VALUES) for number in (1, 2)]
    entries += [reached(1, 2, 1.0), reached(2, 2, 4.0), Assigned(trial=1, level=1)]
    state = state_of(spec(trials=2), [*entries, Failed(trial=1, reason="not finite", diverged=True)])
    assert (state.trials[0].loss, state.trials[0].last_loss) == (None, None)
    assert state.best == state.trials[1]
    killed = state_of(spec(trials=2), [*entries, Failed(trial=1, reason="killed", diverged=False)])
    assert killed.best == killed.trials[0]  # whose loss stands, and which is tried again


def test_where_all_diverged_there_is_nothing_left_to_do() -> None:
    state = SweepState(spec(trials=3))
    while (entry := next_assignment(state)) is not None:
        state = state.after(entry).after(Failed(trial=entry.trial, reason="x", diverged=True))
    assert len(state.trials) == 3
    assert state.best is None


def test_one_that_ran_out_of_patience_is_finished_and_counts_at_every_rung_above() -> None:
    sweep = spec(trials=3)
    entries: list[Entry] = [Assigned(trial=number, level=0, values=VALUES) for number in (1, 2, 3)]
    entries += [reached(1, 2, 1.0, ended=True), reached(2, 2, 2.0), reached(3, 2, 3.0)]
    state = state_of(sweep, entries)
    assert state.trials[0].status == "finished"
    assert state.trials[0].losses == {0: 1.0, 1: 1.0, 2: 1.0}
    assert next_assignment(state) is None  # the best of three is done, and one was trained to its end


def test_one_that_failed_otherwise_has_no_result_until_it_is_tried_again() -> None:
    state = state_of(
        spec(), [Assigned(trial=1, level=0, values=VALUES), Failed(trial=1, reason="killed", diverged=False)]
    )
    assert (state.trials[0].status, state.trials[0].losses) == ("failed", {})
    again = state.after(Retried(trial=1))
    assert (again.trials[0].status, again.trials[0].reason) == ("running", "")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Assigned(trial=2, level=0, values=VALUES)], "starts trial 2 out of order"),
        (
            [Assigned(trial=1, level=0, values={"seed": 1})],
            "starts trial 1 with values that are not on the axes",
        ),
        (
            [Assigned(trial=1, level=0, values={RATE: 9.0})],
            "starts trial 1 with values that are not on the axes",
        ),
        (
            [Assigned(trial=1, level=0, values={RATE: [1]})],
            "starts trial 1 with values that are not on the axes",
        ),
        ([Extended(trials=20_000)], "more trials than it can have: a sweep may have at most 10,000 trials"),
        ([Assigned(trial=1, level=1)], "mentions trial 1, which it has not started"),
        ([reached(1, 2, 1.0)], "mentions trial 1, which it has not started"),
        (
            [Assigned(trial=1, level=0, values=VALUES), Assigned(trial=1, level=1)],
            "promotes trial 1, which can't be promoted",
        ),
        (
            [Assigned(trial=1, level=0, values=VALUES), reached(1, 2, 1.0), Assigned(trial=1, level=2)],
            "promotes trial 1, which can't be promoted",
        ),
    ],
)
def test_a_journal_that_no_sweep_writes_is_refused(entries: list[Entry], message: str) -> None:
    with pytest.raises(RunError, match=message):
        state_of(spec(), entries)


class Machine:
    """Workers that finish in an order that is drawn, and a sweep that is killed between any two entries."""

    def __init__(self, sweep: SweepSpec, workers: int, seed: int) -> None:
        self.sweep, self.workers, self.random = sweep, workers, Random(seed)
        self.quality = [self.random.random() for _ in range(sweep.most_trials + 1)]
        self.journal: list[Entry] = []

    def run(self, kills: Sequence[int] = ()) -> list[Entry]:
        """The journal of the sweep, which is killed when that has so many entries, and resumed from it alone."""
        while True:
            state = state_of(self.sweep, self.journal)
            running = [trial.number for trial in state.having("running")]
            while len(running) < self.workers and (entry := next_assignment(state)) is not None:
                self._write(entry)
                state = state.after(entry)
                running.append(entry.trial)
                if len(self.journal) in kills:
                    break  # killed: all that is known is what the journal has
            else:
                if not running:
                    return self.journal
                self._write(self._outcome(state, running))

    def _write(self, entry: Entry) -> None:
        self.journal.append(entry)

    def _outcome(self, state: SweepState, running: list[int]) -> Entry:
        """The order of completion, and the losses, are those of the journal's length: the same with any kills."""
        order = Random(f"{len(self.journal)}")
        number = order.choice(sorted(running))
        trial = state.trials[number - 1]
        if self.quality[number] > 0.95:
            return Failed(trial=number, reason="not finite", diverged=True)
        step = state.until(trial.level) or LENGTH
        return reached(number, step, self.quality[number] + 1 / step)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from([2, 3, 4]),
    st.lists(st.integers(1, 60)),
)
def test_a_killed_sweep_makes_the_decisions_of_one_that_was_not(
    trials: int, workers: int, seed: int, factor: int, kills: list[int]
) -> None:
    sweep = spec(trials=trials, halving={"first_rung": 2, "factor": factor})
    whole = Machine(sweep, workers, seed).run()
    assert Machine(sweep, workers, seed).run(kills) == whole
    state = state_of(sweep, whole)
    begun = [entry.trial for entry in whole if isinstance(entry, Assigned) and entry.values is not None]
    assert begun == list(range(1, trials + 1)), "every trial was begun, once"
    made = [(entry.trial, entry.level) for entry in whole if isinstance(entry, Assigned)]
    assert len(set(made)) == len(made), "no trial was sent to a level twice"
    assert not state.having("running")
    assert state.having("finished") or not state.having("stopped")
    for index, entry in enumerate(whole):  # each decision was the one that follows from the lines before it
        if isinstance(entry, Assigned):
            assert next_assignment(state_of(sweep, whole[:index])) == entry


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(1, 4), st.integers(0, 10**6))
def test_only_the_best_share_of_a_rung_is_ever_promoted(trials: int, workers: int, seed: int) -> None:
    sweep = spec(trials=trials)
    journal = Machine(sweep, workers, seed).run()
    for index, entry in enumerate(journal):
        if not isinstance(entry, Assigned) or entry.values is not None:
            continue
        state = state_of(sweep, journal[:index])
        at_rung = sorted(
            (trial.losses[entry.level - 1], trial.number)
            for trial in state.trials
            if entry.level - 1 in trial.losses
        )
        best = [number for _, number in at_rung[: len(at_rung) // 3]]
        is_last_resort = len(state.trials) == trials and not state.having("running")
        assert entry.trial in best or is_last_resort


def test_the_check_of_kills_finds_a_decision_that_depends_on_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a sweep would make that draws from a generator which no journal has."""
    generator = Random(1)
    monkeypatch.setattr(
        "charkit_sweep.decisions.values_of",
        lambda *_arguments: {RATE: generator.uniform(1e-4, 1e-1)},
    )
    sweep = spec(trials=5)
    assert Machine(sweep, 1, 1).run() != Machine(sweep, 1, 1).run([3])


def test_entries_of_the_test_are_of_the_journal() -> None:
    assert isinstance(reached(1, 2, 1.0), Reached)
