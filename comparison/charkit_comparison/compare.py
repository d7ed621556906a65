"""The comparison itself: children that take turns, then the examination of single steps, and the verdict."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from charkit.backend import Array
from charkit.config import RunConfig
from charkit.machine import processor_name
from charkit.snapshot import Snapshot
from charkit.version import version
from charkit_comparison.agreement.agreement import pairs_of
from charkit_comparison.agreement.examination import TROUBLES
from charkit_comparison.agreement.findings import Examined, PrecisionExamination
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.participant import Contestant, readable
from charkit_comparison.processes.spec import Job, load_arrays
from charkit_comparison.processes.worker_process import Child, StartChild, scratch
from charkit_comparison.report import Machine, Outcome, Pair, Report, Text
from charkit_comparison.verdict import verdict_of

#: Hears what is being done, and which share of everything is done.
Tell = Callable[[str, float], None]


class Comparison:
    """All of them. ``run`` may be interrupted: what was done until then is reported."""

    def __init__(
        self,
        plan: Plan,
        variants: Sequence[Variant],
        job: Job,
        tell: Tell,
        start_child: StartChild = Child,
    ) -> None:
        self.plan, self.job, self._tell, self._start_child = plan, job, tell, start_child
        self.contestants = [
            Contestant(variant, plan, job.start.step + 1, start_child) for variant in variants
        ]
        self.partial = False
        self.examined: list[Examined] = []
        self._weights: dict[str, dict[str, Array]] = {}
        self._begun = 0
        judged = [variant for variant in variants if variant.decides]
        groups = len({variant.precision for variant in judged})
        # Starting, each round, a control for each precision, which is a whole training, and each examination.
        self._turns = max(1, len(variants) * (plan.rounds + 1) + groups * plan.rounds + len(judged))

    def run(self) -> None:
        """Starts everyone, lets them take turns, and examines single steps of each."""
        try:
            self.job.write(self.plan.folder)
            for one in self.contestants:
                self._advance(f"{one.variant.label}: starting")
                one.start()
            for number, steps in enumerate(self.plan.turns(), start=1):
                for one in self.contestants:
                    self._advance(f"{one.variant.label}: round {number} of {self.plan.rounds}")
                    one.take_turn(steps)
            for one in self.contestants:
                self._weigh(one)
            self._examine()
        except KeyboardInterrupt:
            self.partial = True
        finally:
            self._close()

    def _close(self) -> None:
        for one in self.contestants:
            if one.child is not None:
                one.end()

    def _advance(self, what: str) -> None:
        self._tell(what, self._begun / self._turns)
        self._begun += 1

    def _weigh(self, one: Contestant) -> None:
        path = scratch(self.plan, "weights")
        if not one.order("save", to=str(path)).get("saved"):
            return
        try:
            self._weights[one.variant.label] = Snapshot.from_arrays(load_arrays(path)).weights
        except TROUBLES as error:
            one.end(f"its weights can't be read back: {' '.join(str(error).split())}")

    def _examine(self) -> None:
        """Examines the backends that decide, one precision after the other; the others are ended first."""
        outcomes = _judged(self.outcomes())
        labels = {one.label for one in outcomes}
        for one in self.contestants:
            if one.variant.label not in labels and one.child is not None:
                one.end()
        for precision in dict.fromkeys(one.precision for one in outcomes):
            examination = PrecisionExamination(
                [one for one in outcomes if one.precision == precision],
                {one.variant.label: one.variant for one in self.contestants},
                {one.variant.label: one.child for one in self.contestants},
                self.plan,
                self.job.start.step + 1,
                partial(self._examining, self._begun),
                self._start_child,
            )
            self.examined.append(examination.found)
            examination.run()
            for one in self.contestants:
                if one.variant.precision == precision and one.child is not None:
                    one.end()
            self._begun += self.plan.rounds + examination.count

    def _examining(self, begun: int, what: str, units: float) -> None:
        self._tell(what, min(1.0, (begun + units) / self._turns))

    # ---- what came of it ----------------------------------------------------------------------------------

    def pairs(self) -> tuple[Pair, ...]:
        """Every pair of one precision."""
        outcomes = self.outcomes()
        bands = {group.precision: group.band for group in self.examined if group.band is not None}
        wrong = {label for group in self.examined for label in group.wrong}
        unexamined = {one.label for one in _judged(outcomes)} - self._examined_labels()
        first_step = self.job.start.step + 1
        explained = {pair for group in self.examined for pair in group.explained}
        return pairs_of(
            outcomes, self._weights, bands, wrong | unexamined, explained, self.plan.bound, first_step
        )

    def _examined_labels(self) -> set[str]:
        """The labels of those whose examination was completed."""
        return {one.variant for group in self.examined for one in group.examinations if not one.reason}

    def outcomes(self) -> tuple[Outcome, ...]:
        """What came of each variant."""
        return tuple(one.outcome() for one in self.contestants)

    def report(self, text: Text, start: str, notes: Sequence[str] = ()) -> Report:
        """The report of what was done."""

        outcomes, pairs = self.outcomes(), self.pairs()
        return Report(
            charkit=version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=readable(self.plan.command),
            partial=self.partial,
            agree=self._agree(outcomes, pairs),
            verdict=verdict_of(outcomes, pairs, self.examined, bound=self.plan.bound, partial=self.partial),
            text=text,
            machine=machine(),
            config=_without_paths(self.plan.config),
            start=readable(start),
            first_step=self.job.start.step + 1,
            steps=self.plan.steps,
            planned_rounds=self.plan.rounds,
            threads=self.plan.threads,
            bound=self.plan.bound,
            sample_seed=self.plan.sample_seed,
            variants=outcomes,
            pairs=pairs,
            controls=tuple(group.control for group in self.examined if group.control is not None),
            examinations=tuple(one for group in self.examined for one in group.examinations),
            findings=tuple(finding for group in self.examined for finding in group.findings),
            notes=(*notes, *(note for group in self.examined for note in group.notes)),
        )

    def _agree(self, outcomes: Sequence[Outcome], pairs: Sequence[Pair]) -> bool:
        """Whether every backend that decides was examined, and nothing was found."""
        deciding = {one.label for one in _judged(outcomes)}
        return (
            deciding <= self._examined_labels()
            and not any(group.findings for group in self.examined)
            and all(pair.agrees is not False for pair in pairs)
        )


def _judged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that are judged: not one that died, but one whose loss stopped being finite.

    Where that is the first loss, another of its precision must have one: it is nothing to judge by otherwise.
    """
    begun = {one.precision for one in outcomes if one.decides and one.losses}
    return [
        one
        for one in outcomes
        if one.decides
        and (one.not_finite_at is not None or (one.losses and one.status != "failed"))
        and one.precision in begun
    ]


def _without_paths(config: RunConfig) -> RunConfig:
    """The configuration for others to read: a text's name, not where it lies on this machine."""
    names = tuple(Path(text).name for text in config.data.text)
    return config.model_copy(update={"data": config.data.model_copy(update={"text": names})})


def machine() -> Machine:
    """Where this runs."""
    memory = None
    with suppress(ValueError, OSError, AttributeError):  # not every system tells
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        memory_bytes=memory,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def compare(
    plan: Plan,
    variants: Sequence[Variant],
    job: Job,
    text: Text,
    tell: Tell,
    *,
    start: str = "",
    notes: Sequence[str] = (),
    start_child: StartChild = Child,
) -> Report:
    """Runs a comparison and reports it. Ctrl-C ends it early; the report then says that it is partial."""
    comparison = Comparison(plan, variants, job, tell, start_child)
    comparison.run()
    return comparison.report(text, start, notes)
