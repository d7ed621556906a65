"""How much of a sweep is done, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Mapping

from charkit_sweep.decisions import SweepState


class Estimate:
    """Counts steps, of all trials together, and how fast they were in this session."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._began = time.monotonic()
        self._at_begin: dict[int, int] | None = None
        self._found: dict[int, int] = {}
        self._lengths: dict[int, int] = {}

    def started(self, trial: int, total_steps: int) -> None:
        """Notes the length of a trial, which is known once it has read the text."""
        self._lengths[trial] = total_steps

    def found(self, trial: int, steps: int) -> None:
        """Notes steps that an earlier session made and the journal lacks: those of an interrupted trial."""
        self._found[trial] = self._found.get(trial, 0) + steps

    def fraction_and_seconds_left(
        self, state: SweepState, running: Mapping[int, int]
    ) -> tuple[float, float | None]:
        """The share of all steps that is done, and the seconds that the rest takes; None before that is known.

        ``running`` has the steps that the trials in hand have come to.
        """
        steps = {trial.number: max(trial.step, running.get(trial.number, 0)) for trial in state.trials}
        done, made = sum(steps.values()), self._made(steps)
        total = max(self._expected_steps(state), done + 1)
        seconds = time.monotonic() - self._began
        left = seconds / made * (total - done) if made > 0 else None
        if self._deadline is not None:
            until_deadline = max(0.0, self._deadline - time.monotonic())
            left = until_deadline if left is None else min(left, until_deadline)
        return done / total, left

    def _made(self, steps: Mapping[int, int]) -> int:
        """The steps that were made in this session, of those that the trials have come to."""
        if self._at_begin is None:
            self._at_begin = dict(steps)
        before = {trial: self._at_begin.get(trial, 0) + self._found.get(trial, 0) for trial in steps}
        return sum(max(0, step - before[trial]) for trial, step in steps.items())

    def _expected_steps(self, state: SweepState) -> float:
        """The steps of the whole sweep, if at each rung no more trials are promoted than its share."""
        count, halving = state.spec.most_trials, state.spec.halving
        if halving is None:
            ended = [trial.step for trial in state.having("finished")]
            known = [*self._lengths.values()] or ended
            return count * sum(known) / len(known) if known else 0.0
        expected, before = 0.0, 0
        for level, until in enumerate((*state.spec.rungs, int(state.spec.fixed["training.max_steps"]))):
            expected += max(1, count // halving.factor**level) * (until - before)
            before = until
        return expected
