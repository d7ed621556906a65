"""The examination of all backends of one precision: the control, a verdict on each, and what is wrong where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from charkit_comparison.agreement.agreement import gaps_of, left_band, nearest_to_all
from charkit_comparison.agreement.control import (
    FACTOR,
    MOST_BY_ROUNDING,
    MOST_CONTROLS,
    ROUNDING_UNITS,
    band,
    excess,
)
from charkit_comparison.agreement.examination import (
    TROUBLES,
    Examiner,
    Progress,
    first_error,
    steps_to_examine,
    train_control,
)
from charkit_comparison.agreement.locate import locate_error
from charkit_comparison.agreement.step_errors import StepError
from charkit_comparison.formatting import names, tiny
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.worker_process import Child, StartChild
from charkit_comparison.report import Control, Examination, Finding, Outcome

Floats = NDArray[np.float64]


@dataclass
class Examined:
    """What the examination of one precision has found so far."""

    precision: str
    control: Control | None = None
    band: Floats | None = None  # nats, by step
    examinations: list[Examination] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Pairs that left the band, by their labels, and whose every examined step there is right.
    explained: set[frozenset[str]] = field(default_factory=set)

    @property
    def wrong(self) -> set[str]:
        """The labels of those that have a wrong step, or that could not be examined."""
        located = {finding.variant for finding in self.findings if finding.step is not None}
        return located | {one.variant for one in self.examinations if one.reason}


class PrecisionExamination:
    """Examines the backends of one precision. ``outcomes`` have made steps; ``children`` still run, by label."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        variants: Mapping[str, Variant],
        children: Mapping[str, Child | None],
        plan: Plan,
        first_step: int,
        progress: Progress,
        start_child: StartChild = Child,
    ) -> None:
        self.outcomes, self.variants, self.children = outcomes, variants, children
        self.plan, self.first_step, self._progress = plan, first_step, progress
        self.start_child = start_child
        self.found = Examined(outcomes[0].precision)
        self._units, self._unit = 0.0, float(plan.rounds)  # done, and those of what is under way
        self._replayed: dict[str, tuple[int, StepError | None] | str] = {}

    @property
    def count(self) -> int:
        """How many backends it examines."""
        return len(self.outcomes)

    def progress(self, what: str, share: float) -> None:
        """Reports the rounds' worth of work that is done: a control is a whole training, an examination one round."""
        self._progress(what, self._units + share * self._unit)

    def run(self) -> None:
        """Fills ``found`` bit by bit, so that an interruption leaves what was found until then."""
        steps = self._train_control()
        self._units, self._unit = self._unit, 1.0
        examiner = Examiner(self.plan, steps)
        for outcome in self.outcomes if steps else ():
            self._examine(outcome, examiner)
            self._units += 1.0
        self._unit = 0.0
        for first, second in combinations(self.outcomes, 2):
            index = left_band(first, second, self.found.band)
            if index is not None and not self.found.wrong & {first.label, second.label}:
                self._locate(first, second, index)

    # ---- the control --------------------------------------------------------------------------------------

    def _train_control(self) -> list[int]:
        """Trains the control, on the next backend where it fails on one; returns the recorded steps."""
        left = [one for one in self.outcomes if one.not_finite_at is None] or list(self.outcomes)
        while left:
            reference = nearest_to_all(left)
            steps = steps_to_examine(
                reference.losses,
                [one.losses for one in self.outcomes if one is not reference],
                precision=reference.precision,
                first_step=self.first_step,
                at_random=self.plan.examined_at_random,
                seed=self.plan.config.training.seed,
            )
            variant = self.variants[reference.label]
            try:
                trained = train_control(
                    variant, self.plan, self.first_step, steps, self.progress, self.start_child
                )
            except TROUBLES as error:
                self.found.notes.append(f"{reference.label}: the control failed: {_one_line(error)}")
                left.remove(reference)
                continue
            self._keep(reference, trained.losses)
            return trained.recorded
        return []

    def _train_further_control(self) -> bool:
        """Trains one more control, which can only widen the band. False where there are enough, or it fails."""
        control = self.found.control
        if control is None or control.trained >= MOST_CONTROLS:
            return False
        number = control.trained + 1
        variant = self.variants[control.variant]
        try:
            trained = train_control(
                variant, self.plan, self.first_step, [], self.progress, self.start_child, number=number
            )
        except TROUBLES as error:
            self.found.notes.append(f"{control.variant}: control {number} failed: {_one_line(error)}")
            return False
        self._keep(self._reference(), trained.losses)
        return True

    def _reference(self) -> Outcome:
        assert self.found.control is not None
        return next(one for one in self.outcomes if one.label == self.found.control.variant)

    def _keep(self, reference: Outcome, losses: Sequence[float]) -> None:
        """Takes a control's losses into the band."""
        precision, before = reference.precision, self.found.control
        within = band(reference.losses, losses, precision)
        self.found.band = within if self.found.band is None else np.maximum(self.found.band, within)
        differences = np.abs(
            np.subtract(reference.losses[: len(within)], losses[: len(within)], dtype=np.float64)
        )
        largest = float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0))
        self.found.control = Control(
            precision=precision,
            variant=reference.label,
            rounding_unit=ROUNDING_UNITS[precision],
            trained=1 if before is None else before.trained + 1,
            losses=tuple(losses) if before is None else before.losses,
            largest_loss_difference=largest
            if before is None
            else max(largest, before.largest_loss_difference),
            band=tuple(self.found.band.tolist()),
            factor=FACTOR,
        )

    # ---- each backend -------------------------------------------------------------------------------------

    def _examine(self, outcome: Outcome, examiner: Examiner) -> None:
        variant = self.variants[outcome.label]
        child, own = self.children.get(outcome.label), None
        verdicts, reason = [], ""
        try:
            if child is None:
                child = own = self.start_child(variant, self.plan)
                child.prepare()
            verdicts = examiner.examine(variant, child.order, self.progress)
        except TROUBLES as error:
            reason = _one_line(error)
        finally:
            if own is not None:
                own.close()
        error_found = first_error(verdicts)
        self.found.examinations.append(
            Examination(
                variant=outcome.label,
                steps=tuple(verdict.step for verdict in verdicts),
                matching=sum(verdict.error is None for verdict in verdicts),
                largest_share_of_bound=max((verdict.share_of_bound for verdict in verdicts), default=None),
                reason=reason,
            )
        )
        if error_found is not None:
            self._add_located(outcome, self._first_of_its_own(outcome, error_found, len(verdicts)))

    def _first_of_its_own(self, outcome: Outcome, error: StepError, examined: int) -> StepError:
        """The first wrong step of the backend's own training, where an examined step before this one is right."""
        if examined == 1:
            return error
        gaps = self._gaps(outcome)[: error.step - self.first_step + 1]
        replayed = self._replay(outcome, gaps)
        return error if isinstance(replayed, str) or replayed[1] is None else replayed[1]

    def _gaps(self, outcome: Outcome) -> Floats:
        """The differences of a backend's losses to the reference's."""
        reference = self._reference()
        return np.zeros(len(outcome.losses)) if reference is outcome else gaps_of(outcome, reference)

    # ---- curves that are further apart than rounding explains ---------------------------------------------

    def _locate(self, first: Outcome, second: Outcome, index: int) -> None:
        """Trains the two once more, the farther from the reference first, until one has a wrong step.

        Where neither has one, that is enough unless they are very far apart. Then further controls decide.
        """
        nearer, farther = sorted((first, second), key=self._distance)
        examined, failures = 0, []
        for outcome, other in ((farther, nearer), (nearer, farther)):
            gaps = gaps_of(first, second)[: index + 1]
            replayed = self._replay(outcome, gaps)
            if isinstance(replayed, str):
                failures.append(f"{outcome.label} could not be examined there: {replayed}")
                continue
            examined += replayed[0]
            if replayed[1] is not None:
                self._add_located(outcome, replayed[1], other)
                return
        limit = FACTOR if failures else MOST_BY_ROUNDING
        while self._times_apart(farther, nearer) > limit:
            if not self._train_further_control():
                look_at = "; ".join([*failures, self._further_steps(examined)])
                self.found.findings.append(
                    self._finding(farther, nearer).model_copy(update={"look_at": look_at})
                )
                return
        if self._times_apart(farther, nearer) > FACTOR:
            self._explain(farther, nearer, examined)

    def _times_apart(self, first: Outcome, second: Outcome) -> float:
        """How many times as far apart as the controls, at most."""
        assert self.found.band is not None
        return float(excess(gaps_of(first, second), self.found.band).max(initial=0.0))

    @staticmethod
    def _further_steps(examined: int) -> str:
        return f"where they part, {examined} of {examined} further steps match it too"

    def _explain(self, farther: Outcome, nearer: Outcome, examined: int) -> None:
        """Notes that two have left the band and agree all the same."""
        labels = sorted((farther.label, nearer.label))
        times = tiny(self._times_apart(farther, nearer))
        self.found.explained.add(frozenset(labels))
        self.found.notes.append(
            f"the losses of {names(labels)} are up to {times} times as far apart as the control's; "
            f"{self._further_steps(examined)}, so this is rounding, or an error within the bounds of a single step"
        )

    def _distance(self, outcome: Outcome) -> float:
        return float(np.nan_to_num(self._gaps(outcome), nan=np.inf, posinf=np.inf).max(initial=0.0))

    def _replay(self, outcome: Outcome, gaps: Floats) -> tuple[int, StepError | None] | str:
        """How many steps of a second training were examined and the first wrong one, or why it failed."""
        if outcome.label not in self._replayed:
            variant = self.variants[outcome.label]
            try:
                found: tuple[int, StepError | None] | str = locate_error(
                    variant, self.plan, self.first_step, gaps.tolist(), self.progress, self.start_child
                )
            except TROUBLES as error:
                found = _one_line(error)
            self._replayed[outcome.label] = found
        return self._replayed[outcome.label]

    def _add_located(self, outcome: Outcome, error: StepError, other: Outcome | None = None) -> None:
        located = {
            "step": error.step,
            "array": error.array,
            "expected": error.expected,
            "got": error.got,
            "look_at": error.look_at,
        }
        self.found.findings.append(self._finding(outcome, other).model_copy(update=located))

    def _finding(self, outcome: Outcome, other: Outcome | None) -> Finding:
        other = other or self._reference()
        index = left_band(outcome, other, self.found.band) if other is not outcome else None
        gaps = gaps_of(outcome, other) if other is not outcome else np.zeros(1)
        return Finding(
            variant=outcome.label,
            reference=other.label if other is not outcome else "",
            differs_from_step=None if index is None else self.first_step + index,
            by_nats=float(gaps.max(initial=0.0)),
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
