"""The run of a comparison: worker processes that take turns, the examination of single steps, and the report."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from charkit.backend import Array
from charkit.config import RunConfig
from charkit.machine import processor_name
from charkit.snapshot import Snapshot
from charkit.system.memory import total_bytes
from charkit.text.locations import last_part
from charkit.text.reading_progress import ProgressCallback
from charkit.version import version
from charkit_comparison.agreement.curve_differences import PairContext, compare_pairs
from charkit_comparison.agreement.findings import PrecisionFindings
from charkit_comparison.agreement.precision_examination import PrecisionExamination
from charkit_comparison.agreement.step_examination import EXAMINATION_ERRORS
from charkit_comparison.agreement.verdict_text import verdict_text
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.participant import Participant, as_unicode
from charkit_comparison.processes.spec import load_arrays
from charkit_comparison.processes.worker_process import StartWorker, WorkerProcess
from charkit_comparison.report import ComparisonReport
from charkit_comparison.report_parts import Machine, Outcome, Pair
from charkit_comparison.starting_point import StartingPoint


def run_comparison(
    plan: Plan,
    variants: Sequence[Variant],
    start: StartingPoint,
    progress: ProgressCallback | None = None,
    *,
    notices: Sequence[str] = (),
    start_worker: StartWorker = WorkerProcess,
) -> ComparisonReport:
    """Runs a comparison and reports it. Ctrl-C ends it early; the report then says that it is partial."""
    comparison = Comparison(plan, variants, start, progress, start_worker)
    comparison.run()
    return comparison.report(notices)


class Comparison:
    """A comparison while it runs. ``run`` may be interrupted: what was done until then is reported."""

    def __init__(
        self,
        plan: Plan,
        variants: Sequence[Variant],
        start: StartingPoint,
        progress: ProgressCallback | None = None,
        start_worker: StartWorker = WorkerProcess,
    ) -> None:
        self.plan, self.start, self._progress, self._start_worker = plan, start, progress, start_worker
        self.first_step = start.spec.first_step
        self.participants = [Participant(one, plan, self.first_step, start_worker) for one in variants]
        self.partial = False
        self.findings: list[PrecisionFindings] = []
        self._weights: dict[str, dict[str, Array]] = {}
        self._done = 0
        judged = [variant for variant in variants if variant.decides]
        precisions = len({variant.precision for variant in judged})
        # Starting, each round, a control for each precision, which is a whole training, and each examination.
        self._units = max(1, len(variants) * (plan.rounds + 1) + precisions * plan.rounds + len(judged))

    def run(self) -> None:
        """Starts every worker, lets them take turns, and examines single steps of each."""
        try:
            self.start.spec.write(self.plan.folder)
            for one in self.participants:
                self._advance(f"{one.variant.label}: starting")
                one.start()
            for number, steps in enumerate(self.plan.turns(), start=1):
                for one in self.participants:
                    what = f"{one.variant.label}: round {number} of {self.plan.rounds}"
                    self._advance(what)
                    one.take_turn(steps, partial(self._within_turn, what))
            for one in self.participants:
                self._read_weights(one)
            self._examine()
            self._report_progress("done", self._units)
        except KeyboardInterrupt:
            self.partial = True
        finally:
            for one in self.participants:
                one.end()

    def _advance(self, what: str) -> None:
        self._report_progress(what, self._done)
        self._done += 1

    def _within_turn(self, what: str, share: float) -> None:
        self._report_progress(what, self._done - 1 + share)

    def _report_progress(self, what: str, units: float) -> None:
        if self._progress is not None:
            self._progress(what, min(1.0, units / self._units))

    def _read_weights(self, one: Participant) -> None:
        path = self.plan.scratch_file("weights")
        if not one.request("save", to=str(path)).get("saved"):
            return
        try:
            self._weights[one.variant.label] = Snapshot.from_arrays(load_arrays(path)).weights
        except EXAMINATION_ERRORS as error:
            one.end(f"its weights can't be read back: {' '.join(str(error).split())}")

    def _examine(self) -> None:
        """Examines the backends that decide, one precision after the other; the workers of others are ended first."""
        outcomes = _judged(self.outcomes())
        labels = {one.label for one in outcomes}
        for one in self.participants:
            if one.variant.label not in labels:
                one.end()
        for precision in dict.fromkeys(one.precision for one in outcomes):
            begun = self._done
            examination = PrecisionExamination(
                [one for one in outcomes if one.precision == precision],
                {one.variant.label: one.variant for one in self.participants},
                {one.variant.label: one.worker for one in self.participants},
                self.plan,
                self.first_step,
                partial(self._examining, begun),
                self._start_worker,
            )
            self.findings.append(examination.found)
            examination.run()
            for one in self.participants:
                if one.variant.precision == precision:
                    one.end()
            self._done += self.plan.rounds + examination.count

    def _examining(self, begun: int, what: str, units: float) -> None:
        self._report_progress(what, begun + units)

    # ---- results ------------------------------------------------------------------------------------------

    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcome of each variant."""
        return tuple(one.outcome() for one in self.participants)

    def pairs(self, outcomes: Sequence[Outcome]) -> tuple[Pair, ...]:
        """Every pair of one precision."""
        unexamined = {one.label for one in _judged(outcomes)} - self._examined_labels()
        context = PairContext(
            weights=self._weights,
            bands={group.precision: group.band for group in self.findings if group.band is not None},
            wrong={label for group in self.findings for label in group.wrong} | unexamined,
            explained={pair for group in self.findings for pair in group.explained},
            bound=self.plan.bound,
            first_step=self.first_step,
        )
        return compare_pairs(outcomes, context)

    def _examined_labels(self) -> set[str]:
        """The labels of those whose examination was completed."""
        return {one.variant for group in self.findings for one in group.examinations if not one.reason}

    def report(self, notices: Sequence[str] = ()) -> ComparisonReport:
        """The report of what was done."""
        outcomes, plan = self.outcomes(), self.plan
        pairs = self.pairs(outcomes)
        return ComparisonReport(
            charkit=version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=as_unicode(plan.command),
            partial=self.partial,
            agree=self._agree(outcomes, pairs),
            verdict=verdict_text(
                outcomes,
                pairs,
                self.findings,
                bound=plan.bound,
                partial=self.partial,
                clips=plan.config.optimizer.grad_clip > 0,
            ),
            text=self.start.text,
            machine=describe_machine(),
            config=_without_folders(plan.config),
            start=as_unicode(self.start.start),
            first_step=self.first_step,
            steps=plan.steps,
            planned_rounds=plan.rounds,
            threads=plan.threads,
            bound=plan.bound,
            sample_seed=plan.sample_seed,
            variants=outcomes,
            pairs=pairs,
            controls=tuple(group.control for group in self.findings if group.control is not None),
            examinations=tuple(one for group in self.findings for one in group.examinations),
            findings=tuple(finding for group in self.findings for finding in group.findings),
            notes=(*notices, *(notice for group in self.findings for notice in group.notices)),
        )

    def _agree(self, outcomes: Sequence[Outcome], pairs: Sequence[Pair]) -> bool:
        """Whether every backend that decides was examined, and nothing was found."""
        deciding = {one.label for one in _judged(outcomes)}
        return (
            deciding <= self._examined_labels()
            and not any(group.findings for group in self.findings)
            and all(pair.agrees is not False for pair in pairs)
        )


def _judged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that are judged: not one that failed, except where its loss stopped being finite.

    Where that is its first loss, another of its precision must have one, or there is nothing to judge by.
    """
    started = {one.precision for one in outcomes if one.decides and one.losses}
    return [
        one
        for one in outcomes
        if one.decides
        and (one.not_finite_at is not None or (one.losses and one.status != "failed"))
        and one.precision in started
    ]


def _without_folders(config: RunConfig) -> RunConfig:
    """The configuration for others to read: a text's name, without its folder on this machine."""
    names = tuple(map(last_part, config.data.text))
    return config.model_copy(update={"data": config.data.model_copy(update={"text": names})})


def describe_machine() -> Machine:
    """The machine that the comparison runs on."""
    return Machine(
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        memory_bytes=total_bytes(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )
