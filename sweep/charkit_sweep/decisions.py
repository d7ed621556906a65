"""What a sweep does next, as a pure function of its settings and its journal.

Successive halving by promotion is ASHA (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning"): a
worker that is free promotes the best trial that is among the best ``1 / factor`` of those that have reached its rung
and was not promoted yet, from the highest rung down; where there is none, it begins a new trial. Nobody waits for a
rung to fill. Since a sweep has an end, two things are added: where no new trial is left and nothing runs, the best
trial of the highest rung goes on, so that one is always trained whole; and trials that ended early or diverged count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Any, Literal

from charkit.errors import ConfigurationError, RunError
from charkit_sweep.journal import NAME, Assigned, Entry, Extended, Failed, Reached, Retried
from charkit_sweep.search import values_of
from charkit_sweep.spec import SweepSpec
from charkit_sweep.tpe import Observation

Status = Literal["running", "stopped", "finished", "failed"]


@dataclass(frozen=True)
class TrialState:
    """A trial as the journal has it; ``losses`` are those that it had at each level that it has reached, in nats.

    "running" means that it was sent to ``level`` and nothing has come of that yet.
    """

    number: int
    values: Mapping[str, Any]
    level: int = 0
    status: Status = "running"
    step: int = 0
    losses: Mapping[int, float] = field(default_factory=dict)
    loss: float | None = None
    last_loss: float | None = None
    seconds: float = 0.0
    reason: str = ""
    diverged: bool = False


@dataclass(frozen=True)
class SweepState:
    """A sweep as its journal has it."""

    spec: SweepSpec
    trials: tuple[TrialState, ...] = ()

    @property
    def last_level(self) -> int:
        """The level at which a trial is trained whole."""
        return len(self.spec.rungs)

    def having(self, status: Status) -> list[TrialState]:
        """The trials of a status."""
        return [trial for trial in self.trials if trial.status == status]

    @property
    def best(self) -> TrialState | None:
        """The trial with the lowest loss; of equal ones, the first."""
        known = [trial for trial in self.trials if trial.loss is not None]
        return min(known, key=lambda trial: (trial.loss, trial.number), default=None)

    def until(self, level: int) -> int | None:
        """The step at which a trial stops that is sent to a level; None for its end."""
        return self.spec.rungs[level] if level < self.last_level else None

    def after(self, entry: Entry) -> SweepState:
        """The state with one more entry of the journal. Raises RunError for one that can't follow."""
        if isinstance(entry, Extended):
            try:
                return replace(self, spec=self.spec.extended(entry.trials))
            except ConfigurationError as error:
                raise RunError(f"its {NAME} gives the sweep more trials than it can have: {error}") from error
        if isinstance(entry, Assigned) and entry.values is not None:
            if entry.trial != len(self.trials) + 1 or entry.level:
                raise RunError(f"its {NAME} starts trial {entry.trial} out of order")
            if not self._has(entry.values):
                raise RunError(f"its {NAME} starts trial {entry.trial} with values that are not on the axes")
            return replace(self, trials=(*self.trials, TrialState(entry.trial, entry.values)))
        if entry.trial > len(self.trials):
            raise RunError(f"its {NAME} mentions trial {entry.trial}, which it has not started")
        changed = _changed(self.trials[entry.trial - 1], entry, self.last_level)
        return replace(self, trials=(*self.trials[: entry.trial - 1], changed, *self.trials[entry.trial :]))

    def _has(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial of the sweep can have these values."""
        axes = self.spec.axes
        return values.keys() == {axis.key for axis in axes} and all(
            axis.has(values[axis.key]) for axis in axes
        )


def state_of(spec: SweepSpec, entries: Iterable[Entry]) -> SweepState:
    """The state of a sweep after the entries of its journal. Raises RunError for those that no sweep writes."""
    state = SweepState(spec)
    for entry in entries:
        state = state.after(entry)
    return state


def _changed(trial: TrialState, entry: Entry, last_level: int) -> TrialState:
    match entry:
        case Assigned():
            if trial.status != "stopped" or entry.level != trial.level + 1:
                raise RunError(
                    f"its {NAME} promotes trial {entry.trial}, which can't be promoted at that point"
                )
            return replace(trial, level=entry.level, status="running")
        case Reached():
            ended = entry.ended or trial.level == last_level
            levels = range(trial.level, last_level + 1) if ended else [trial.level]
            return replace(
                trial,
                status="finished" if ended else "stopped",
                step=entry.step,
                losses={**trial.losses, **dict.fromkeys(levels, entry.loss)},
                loss=entry.loss,
                last_loss=entry.last_loss,
                seconds=entry.seconds,
            )
        case Failed():
            lost = {trial.level: inf} if entry.diverged else {}
            return replace(
                trial,
                status="failed",
                reason=entry.reason,
                diverged=entry.diverged,
                losses={**trial.losses, **lost},
                loss=None if entry.diverged else trial.loss,
                last_loss=None if entry.diverged else trial.last_loss,
            )
        case Retried():
            return replace(trial, status="running", reason="")
    raise AssertionError(entry)


def next_assignment(state: SweepState) -> Assigned | None:
    """What a worker that is free does next; None where there is nothing to do, or nothing yet.

    The same state gives the same assignment, in any process. Raises ConfigurationError where the search needs a library
    that is not installed.
    """
    promoted = _promotable(state)
    if promoted is not None:
        return promoted
    number = len(state.trials) + 1
    if number <= state.spec.most_trials:
        observations = [_observation(trial) for trial in state.trials]
        return Assigned(trial=number, level=0, values=values_of(state.spec, number, observations))
    return _last_resort(state)


def is_done(state: SweepState) -> bool:
    """Whether nothing remains to be done. Trials that were interrupted, and go on when the sweep is resumed, remain."""
    # Where it is not so, the next trial is not searched for, which takes time.
    all_begun = len(state.trials) >= state.spec.most_trials
    return all_begun and not state.having("running") and next_assignment(state) is None


def _promotable(state: SweepState) -> Assigned | None:
    """The best trial that may go on from the highest rung that has one."""
    if state.spec.halving is None:
        return None
    for level in reversed(range(state.last_level)):
        ranked = sorted(
            (trial.losses[level], trial.number) for trial in state.trials if level in trial.losses
        )
        for loss, number in ranked[: len(ranked) // state.spec.halving.factor]:
            trial = state.trials[number - 1]
            if trial.status == "stopped" and trial.level == level and isfinite(loss):
                return Assigned(trial=number, level=level + 1)
    return None


def _last_resort(state: SweepState) -> Assigned | None:
    """The best trial of the highest rung, where otherwise none would be trained whole."""
    stopped = state.having("stopped")
    if not stopped or state.having("running") or state.having("finished"):
        return None
    best = min(stopped, key=lambda trial: (-trial.level, trial.loss, trial.number))
    return Assigned(trial=best.number, level=best.level + 1)


def _observation(trial: TrialState) -> Observation:
    loss = inf if trial.diverged else trial.loss
    return Observation(trial.values, trial.step, loss, trial.status == "finished", trial.status == "running")
