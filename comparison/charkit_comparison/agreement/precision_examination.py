"""The examination of all backends of one precision: it trains the control, judges each backend, and locates errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from charkit.text.reading_progress import ProgressCallback
from charkit_comparison.agreement.curve_differences import first_outside_band, loss_differences, most_central
from charkit_comparison.agreement.findings import Floats, PrecisionFindings
from charkit_comparison.agreement.first_wrong_step import Divergence, find_first_wrong_step
from charkit_comparison.agreement.rounding_control import (
    BAND_FACTOR,
    MAX_CONTROLS,
    MAX_ROUNDING_FACTOR,
    has_diverged,
)
from charkit_comparison.agreement.rounding_control_training import train_control
from charkit_comparison.agreement.step_errors import StepError
from charkit_comparison.agreement.step_examination import EXAMINATION_ERRORS, StepExaminer, first_error
from charkit_comparison.agreement.step_selection import select_steps
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.worker_process import StartWorker, WorkerProcess
from charkit_comparison.report_parts import Examination, Outcome
from charkit_pages.formatting import names, tiny


class PrecisionExamination:
    """Examines the backends of one precision. ``outcomes`` have run steps; ``workers`` still run, by label."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        variants: Mapping[str, Variant],
        workers: Mapping[str, WorkerProcess | None],
        plan: Plan,
        first_step: int,
        progress: ProgressCallback,
        start_worker: StartWorker = WorkerProcess,
    ) -> None:
        self.outcomes, self.variants, self.workers = outcomes, variants, workers
        self.plan, self.first_step, self._progress = plan, first_step, progress
        self.start_worker = start_worker
        self.found = PrecisionFindings(outcomes[0].precision, first_step)
        self._units, self._unit = 0.0, float(plan.rounds)  # rounds' worth of work: done, and in progress
        self._divergences: dict[str, Divergence | str] = {}

    @property
    def count(self) -> int:
        """How many backends it examines."""
        return len(self.outcomes)

    def progress(self, what: str, share: float) -> None:
        """Reports the rounds' worth of work done: a control is a whole training, an examination one round."""
        self._progress(what, self._units + share * self._unit)

    def run(self) -> None:
        """Fills ``found`` bit by bit, so that an interruption leaves what was found until then."""
        steps = self._train_first_control()
        self._units, self._unit = self._unit, 1.0
        examiner = StepExaminer(self.plan, steps)
        for outcome in self.outcomes if steps else ():
            self._examine(outcome, examiner)
            self._units += 1.0
        self._unit = 0.0
        for first, second in combinations(self.outcomes, 2):
            index = first_outside_band(first, second, self.found.band)
            if index is not None and not self.found.wrong & {first.label, second.label}:
                self._examine_divergence(first, second, index)

    # ---- the control --------------------------------------------------------------------------------------

    def _train_first_control(self) -> list[int]:
        """Trains the control, on the next backend where it fails on one; returns the recorded steps."""
        left = [one for one in self.outcomes if one.not_finite_at is None] or list(self.outcomes)
        while left:
            reference = most_central(self._steadiest(left))
            steps = select_steps(
                reference.losses,
                [one.losses for one in self.outcomes if one is not reference],
                precision=reference.precision,
                vocabulary_size=self.plan.config.model.vocabulary_size,
                first_step=self.first_step,
                at_random=self.plan.examined_at_random,
                seed=self.plan.config.training.seed,
            )
            try:
                trained = train_control(
                    self.variants[reference.label],
                    self.plan,
                    self.first_step,
                    steps,
                    self.progress,
                    self.start_worker,
                )
            except EXAMINATION_ERRORS as error:
                self.found.notices.append(f"{reference.label}: the control failed: {_one_line(error)}")
                left.remove(reference)
                continue
            self._add_control(reference, trained.losses)
            return trained.recorded
        return []

    def _steadiest(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Those with the fewest steps at which training has diverged: if others have none, the settings are fine."""
        size = self.plan.config.model.vocabulary_size
        diverged = [int(np.count_nonzero(has_diverged(one.losses, size))) for one in outcomes]
        return [one for one, count in zip(outcomes, diverged, strict=True) if count == min(diverged)]

    def _train_further_control(self) -> bool:
        """Trains one more control, which can only widen the band. False where there are enough, or it fails."""
        control = self.found.control
        if control is None or control.trained >= MAX_CONTROLS:
            return False
        number = control.trained + 1
        try:
            trained = train_control(
                self.variants[control.variant],
                self.plan,
                self.first_step,
                [],
                self.progress,
                self.start_worker,
                number=number,
            )
        except EXAMINATION_ERRORS as error:
            self.found.notices.append(f"{control.variant}: control {number} failed: {_one_line(error)}")
            return False
        self._add_control(self._reference(), trained.losses)
        return True

    def _add_control(self, reference: Outcome, losses: Sequence[float]) -> None:
        size = self.plan.config.model.vocabulary_size
        self.found.add_control(reference, losses, size)
        self.found.diverged = int(np.count_nonzero(has_diverged(reference.losses, size)))

    def _reference(self) -> Outcome:
        assert self.found.control is not None
        return next(one for one in self.outcomes if one.label == self.found.control.variant)

    # ---- each backend -------------------------------------------------------------------------------------

    def _examine(self, outcome: Outcome, examiner: StepExaminer) -> None:
        variant = self.variants[outcome.label]
        worker, started = self.workers.get(outcome.label), None
        verdicts, reason = [], ""
        try:
            if worker is None:
                worker = started = self.start_worker(variant, self.plan)
                worker.prepare()
            verdicts = examiner.examine(variant, worker.request, self.progress)
        except EXAMINATION_ERRORS as error:
            reason = _one_line(error)
        finally:
            if started is not None:
                started.close()
        self.found.examinations.append(
            Examination(
                variant=outcome.label,
                steps=tuple(verdict.step for verdict in verdicts),
                matching=sum(verdict.error is None for verdict in verdicts),
                largest_share_of_bound=max((verdict.share_of_bound for verdict in verdicts), default=None),
                reason=reason,
            )
        )
        wrong = first_error(verdicts)
        if wrong is not None:
            error_in_training = self._first_error_in_training(outcome, wrong, len(verdicts))
            counted = any(verdict.step == error_in_training.step and verdict.error for verdict in verdicts)
            self.found.add_wrong_step(outcome, self._reference(), error_in_training, is_counted=counted)

    def _first_error_in_training(self, outcome: Outcome, error: StepError, examined: int) -> StepError:
        """The first wrong step of the backend's own training, where an examined step before this one is right."""
        if examined == 1:
            return error
        divergence = self._locate(outcome, self._differences(outcome)[: error.step - self.first_step + 1])
        return error if isinstance(divergence, str) else divergence.error or error

    def _differences(self, outcome: Outcome) -> Floats:
        """The differences of a backend's losses to the reference's."""
        reference = self._reference()
        return np.zeros(len(outcome.losses)) if reference is outcome else loss_differences(outcome, reference)

    # ---- curves that differ by more than rounding explains ---------------------------------------------

    def _examine_divergence(self, first: Outcome, second: Outcome, index: int) -> None:
        """Trains the two once more, the farther from the reference first, until one has a wrong step.

        Where neither has one, that is enough unless they are very far apart. Then further controls decide.
        """
        nearer, farther = sorted((first, second), key=self._distance)
        examined, failures = 0, []
        for outcome, other in ((farther, nearer), (nearer, farther)):
            divergence = self._locate(outcome, loss_differences(first, second)[: index + 1])
            if isinstance(divergence, str):
                failures.append(f"{outcome.label} could not be examined there: {divergence}")
                continue
            examined += divergence.examined
            if divergence.error is not None:
                self.found.add_wrong_step(outcome, other, divergence.error)
                return
        limit = BAND_FACTOR if failures else MAX_ROUNDING_FACTOR
        while self.found.times_apart(farther, nearer) > limit:
            if not self._train_further_control():
                further = [_further_steps(examined)] if examined or not failures else []
                look_at = "; ".join([*failures, *further])
                self.found.add_disagreement(farther, nearer, look_at)
                return
        if self.found.times_apart(farther, nearer) > BAND_FACTOR:
            self._explain(farther, nearer, examined)

    def _explain(self, farther: Outcome, nearer: Outcome, examined: int) -> None:
        """Notes that two are outside the band and agree nevertheless."""
        labels = sorted((farther.label, nearer.label))
        times = tiny(self.found.times_apart(farther, nearer))
        self.found.explained.add(frozenset(labels))
        cause = f"{_further_steps(examined)}, so the cause" if examined else "the cause"
        self.found.notices.append(
            f"the losses of {names(labels)} differ by up to {times} times as much as the control; {cause} "
            "is rounding, or an error too small to exceed the bounds on a single step"
        )

    def _distance(self, outcome: Outcome) -> float:
        return float(np.nan_to_num(self._differences(outcome), nan=np.inf, posinf=np.inf).max(initial=0.0))

    def _locate(self, outcome: Outcome, differences: Floats) -> Divergence | str:
        """The result of a second training, which is run once for each backend, or why it failed."""
        if outcome.label not in self._divergences:
            try:
                found: Divergence | str = find_first_wrong_step(
                    self.variants[outcome.label],
                    self.plan,
                    self.first_step,
                    differences.tolist(),
                    self.progress,
                    self.start_worker,
                )
            except EXAMINATION_ERRORS as error:
                found = _one_line(error)
            self._divergences[outcome.label] = found
        return self._divergences[outcome.label]


def _further_steps(examined: int) -> str:
    if examined == 0:  # the training of both has diverged at every one
        return "no further step could be examined where they diverge"
    if examined == 1:
        return "the one further step examined where they diverge matches the float64 reference too"
    return f"all {examined} further steps examined where they diverge match the float64 reference too"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
