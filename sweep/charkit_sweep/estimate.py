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
        self._at_begin: int | None = None
        self._lengths: dict[int, int] = {}

    def started(self, trial: int, total_steps: int) -> None:
        """Notes the length of a trial, which is known once it has read the text."""
        self._lengths[trial] = total_steps

    def fraction_and_seconds_left(
        self, state: SweepState, running: Mapping[int, int]
    ) -> tuple[float, float | None]:
        """The share of all steps that is done, and the seconds that the rest takes; None before that is known.

        ``running`` has the steps that the trials in hand have come to.
        """
        done = sum(max(trial.step, running.get(trial.number, 0)) for trial in state.trials)
        if self._at_begin is None:
            self._at_begin = done
        total = max(self._expected_steps(state), done + 1)
        seconds, made = time.monotonic() - self._began, done - self._at_begin
        left = seconds / made * (total - done) if made > 0 else None
        if self._deadline is not None:
            until_deadline = max(0.0, self._deadline - time.monotonic())
            left = until_deadline if left is None else min(left, until_deadline)
        return done / total, left

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
