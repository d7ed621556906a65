"""What follows from a report's numbers: the reference, differences to it, speeds beside each other, the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charkit.comparison import Report
from charkit.comparison.agreement import first_beyond, nearest_to_all
from charkit.comparison.control import excess
from charkit.comparison.report import Control, Pair
from charkit.comparison.words import counted, names
from charkit_reports import words
from charkit_reports.palette import Look
from charkit_reports.speeds import Speeds
from charkit_reports.variant import Variant

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A variant's losses beside its reference's, over the steps that both have made."""

    variant: Variant
    reference: Variant
    control: Control | None  # of the precision, where the verdict depends on the variant
    differences: Floats  # (steps,)
    first_step: int

    @property
    def largest(self) -> float:
        """The largest difference of a loss; not a number where one of them is not."""
        return float(self.differences.max())

    @property
    def mean(self) -> float:
        """The mean difference."""
        with np.errstate(over="ignore"):
            return float(self.differences.mean())

    @property
    def step_of_largest(self) -> int:
        """The step of the largest difference."""
        return self.first_step + int(self.differences.argmax())

    @cached_property
    def times_the_control(self) -> Floats | None:
        """The differences as multiples of what rounding alone does by each step."""
        return None if self.control is None else excess(self.differences, np.asarray(self.control.band))

    @property
    def left_band_at(self) -> int | None:
        """The first step at which it is further from the reference than rounding explains."""
        if self.control is None or self.times_the_control is None:
            return None
        index = first_beyond(self.times_the_control, self.control.factor)
        return None if index is None else self.first_step + index


class Facts:
    """Everything that the page and the Markdown tell, computed once."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.variants = tuple(Variant(outcome, Look(place)) for place, outcome in enumerate(report.variants))
        self._by_label = {one.outcome.label: one for one in self.variants}

    def variant(self, label: str) -> Variant:
        """The variant that a pair or a finding names."""
        return self._by_label[label]

    # ---- the answer ---------------------------------------------------------------------------------------

    @cached_property
    def judged(self) -> tuple[Pair, ...]:
        """The pairs that decide."""
        return tuple(pair for pair in self.report.pairs if pair.agrees is not None)

    @cached_property
    def controls(self) -> dict[str, Control]:
        """The control of each precision that decides."""
        return {control.precision: control for control in self.report.controls}

    @property
    def answer(self) -> Literal["yes", "no", "none"]:
        """Whether all agree; none where there was no pair to judge."""
        if not self.report.agree:
            return "no"
        return "yes" if self.judged or self.report.examinations else "none"

    @property
    def headline(self) -> str:
        """The answer in a few words."""
        if self.answer == "none":
            return "Nothing to judge"
        if self.answer == "no":
            if not self.judged:
                return "No, not every examined step is right"
            return "No, they do not agree" if len(self.judged) == 1 else "No, they do not all agree"
        if not self.judged:
            return "Yes, every examined step is right"
        if any(one.outcome.decides and one.outcome.status == "failed" for one in self.variants):
            return "Yes, those that finished agree"
        return "Yes, they agree so far" if self.report.partial else "Yes, they agree"

    @property
    def title(self) -> str:
        """What was compared on what."""
        labels = [one.label for one in self.variants]
        told = names(labels) if 0 < len(labels) <= 4 else ""
        if not 0 < len(told) <= 80:
            told = counted(len(labels), "variant")
        return f"{told} on {words.one_line(self.report.text.name)}"

    @property
    def widest(self) -> Pair | None:
        """The pair that decides and is furthest apart."""
        return max(self.judged, key=lambda pair: _last_if_odd(pair.largest_loss_difference), default=None)

    @property
    def partial(self) -> str:
        """How far an interrupted comparison came, or nothing."""
        if not self.report.partial:
            return ""
        done = max((len(one.outcome.rounds) for one in self.variants), default=0)
        rounds = counted(self.report.planned_rounds, "round")
        return f"interrupted in the course of its {rounds}; the furthest variant had ended {done}"

    @cached_property
    def sound(self) -> tuple[Variant, ...]:
        """Those that neither failed nor left the others: who is wrong is not called fastest."""
        left = {finding.variant for finding in self.report.findings}
        return tuple(
            one for one in self.variants if one.outcome.status != "failed" and one.outcome.label not in left
        )

    # ---- losses -------------------------------------------------------------------------------------------

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """Each variant that has made steps beside its reference, but the reference itself."""
        found = []
        for one in self.variants:
            reference = self.reference_of(one)
            if reference is None or reference is one or not one.outcome.losses:
                continue
            steps = min(len(one.outcome.losses), len(reference.outcome.losses))
            with np.errstate(over="ignore", invalid="ignore"):
                differences = np.abs(
                    np.subtract(
                        one.outcome.losses[:steps], reference.outcome.losses[:steps], dtype=np.float64
                    )
                )
            control = self.controls.get(one.outcome.precision) if one.outcome.decides else None
            if control is not None and control.variant != reference.outcome.label:
                control = None
            found.append(Gap(one, reference, control, differences, self.report.first_step))
        return tuple(found)

    def reference_of(self, variant: Variant) -> Variant | None:
        """The backend that is nearest to all of its precision; for what does not decide, that of float32."""
        if variant.outcome.decides:
            return self.references.get(variant.outcome.precision)
        ordered = [self.references[key] for key in ("float32", "float64") if key in self.references]
        return ordered[0] if ordered else None

    @cached_property
    def references(self) -> dict[str, Variant]:
        """By precision, the one that the others are drawn against: the control's backend, or the nearest to all."""
        members: dict[str, list[Variant]] = {}
        for one in self.variants:
            if one.outcome.decides and one.outcome.losses:
                members.setdefault(one.outcome.precision, []).append(one)
        found = {}
        for precision, group in members.items():
            control = self.controls.get(precision)
            label = control.variant if control else nearest_to_all([one.outcome for one in group]).label
            found[precision] = self.variant(label)
        return found

    @cached_property
    def speeds(self) -> Speeds:
        """How fast everyone was."""
        return Speeds(self.report, self.variants)


def _last_if_odd(value: float) -> float:
    """Puts what is not a number beyond all numbers."""
    return float("inf") if np.isnan(value) else value
