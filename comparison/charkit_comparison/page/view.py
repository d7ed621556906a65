"""A report prepared for presentation: references, differences to them, speeds, the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charkit_comparison.agreement.curve_differences import first_outside_band, loss_differences, most_central
from charkit_comparison.agreement.rounding_control import excess
from charkit_comparison.page.variant_view import VariantView
from charkit_comparison.report import ComparisonReport
from charkit_comparison.report_parts import Control, Pair
from charkit_comparison.speeds import Speeds
from charkit_pages import formatting
from charkit_pages.formatting import counted, names
from charkit_pages.palette import SeriesStyle

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LossGap:
    """A variant's losses beside its reference's, over the steps that both have completed."""

    variant: VariantView
    reference: VariantView
    control: Control | None  # of the precision, where the verdict depends on the variant
    differences: Floats  # (steps,)
    first_step: int

    @property
    def largest(self) -> float:
        """The largest difference in loss; not a number where one of them is not."""
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

    @property
    def times_the_control(self) -> float | None:
        """The largest difference as a multiple of what rounding alone does by that step.

        Infinite where one loss is no longer finite and the other is; none where it is not judged.
        """
        if self.control is None:
            return None
        with np.errstate(invalid="ignore"):
            gaps = loss_differences(self.variant.outcome, self.reference.outcome)
        return float(excess(gaps, np.asarray(self.control.band)).max(initial=0.0))

    @property
    def left_band_at(self) -> int | None:
        """The first step at which it is further from the reference than rounding explains."""
        if self.control is None:
            return None
        with np.errstate(invalid="ignore"):
            index = first_outside_band(
                self.variant.outcome, self.reference.outcome, np.asarray(self.control.band)
            )
        return None if index is None else self.first_step + index


class ReportView:
    """Everything that the page, the Markdown and the terminal show, computed once."""

    def __init__(self, report: ComparisonReport) -> None:
        self.report = report
        self.variants = tuple(
            VariantView(outcome, SeriesStyle(index)) for index, outcome in enumerate(report.variants)
        )
        self._by_label = {one.outcome.label: one for one in self.variants}

    def variant(self, label: str) -> VariantView:
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

    def control_of(self, reference: VariantView) -> Control | None:
        """The control that this reference has trained."""
        control = self.controls.get(reference.outcome.precision)
        return control if control and control.variant == reference.outcome.label else None

    @cached_property
    def wrong(self) -> tuple[VariantView, ...]:
        """The backends that have a wrong step."""
        located = {finding.variant for finding in self.report.findings if finding.step is not None}
        return tuple(one for one in self.variants if one.outcome.label in located)

    def judgment(self, pair: Pair) -> Literal["agree", "differ", "undecided", "not judged"]:
        """Of a pair; undecided where nothing is wrong with it, but one of the two was not examined to the end."""
        if pair.agrees is None:
            return "not judged"
        labels = {pair.first, pair.second}
        wrong = {one.outcome.label for one in self.wrong}
        has_left = pair.left_band_at is not None and not pair.agrees
        if labels & wrong or has_left or self.is_beyond_bound(pair):
            return "differ"
        examined = {one.variant for one in self.report.examinations if not one.reason}
        return "agree" if labels <= examined else "undecided"

    def agree_despite_distance(self, first: VariantView, second: VariantView) -> bool:
        """Whether two are outside the band and agree, since every step is right where they part."""
        labels = {first.outcome.label, second.outcome.label}
        return any(
            {pair.first, pair.second} == labels and pair.left_band_at is not None and pair.agrees
            for pair in self.report.pairs
        )

    def is_beyond_bound(self, pair: Pair) -> bool:
        """Whether the losses of a pair that decides differ by more than the bound that was given."""
        bound = self.report.bound
        return bound is not None and pair.agrees is not None and not pair.largest_loss_difference <= bound

    @cached_property
    def answer(self) -> Literal["yes", "no", "none"]:
        """Whether all agree; none where there was nothing to judge, or it could not be judged to the end."""
        if self.report.agree:
            return "yes" if self.judged or self.report.examinations else "none"
        differ = any(self.judgment(pair) == "differ" for pair in self.judged)
        return "no" if differ or self.report.findings else "none"

    @property
    def headline(self) -> str:
        """The answer in a few words."""
        if self.answer == "none":
            if self.report.agree:
                return "Nothing to judge"
            return (
                "Undecided so far" if self.report.partial else "Undecided: the examination was not completed"
            )
        if self.answer == "no":
            return f"No, {self._objection}"
        if not self.judged:
            return "Yes, every examined step is correct"
        if any(one.outcome.decides and one.outcome.status == "failed" for one in self.variants):
            return "Yes, those that finished agree"
        return "Yes, they agree so far" if self.report.partial else "Yes, they agree"

    @property
    def _objection(self) -> str:
        """Why the answer is no."""
        if self.wrong:
            labels = names([one.label for one in self.wrong])
            which = labels if len(labels) <= 40 else counted(len(self.wrong), "backend")
            return f"{which} {'is' if len(self.wrong) == 1 else 'are'} wrong"
        if not self.report.findings and not any(
            pair.left_band_at and not pair.agrees for pair in self.judged
        ):
            return "they differ by more than the bound"
        return "they do not agree" if len(self.judged) == 1 else "they do not all agree"

    @property
    def title(self) -> str:
        """The variants, and the text."""
        labels = [one.label for one in self.variants]
        variants = names(labels) if 0 < len(labels) <= 4 else ""
        if not 0 < len(variants) <= 80:
            variants = counted(len(labels), "variant")
        return f"{variants} on {formatting.one_line(self.report.text.name)}"

    @property
    def widest(self) -> Pair | None:
        """The pair that decides and is furthest apart."""
        return max(self.judged, key=lambda pair: _nan_as_infinity(pair.largest_loss_difference), default=None)

    @property
    def partial(self) -> str:
        """How far an interrupted comparison came; empty for a complete one."""
        if not self.report.partial:
            return ""
        done = max((len(one.outcome.rounds) for one in self.variants), default=0)
        rounds = counted(self.report.planned_rounds, "round")
        return (
            f"the comparison was interrupted; the variant that got furthest had completed {done} of {rounds}"
        )

    @cached_property
    def sound(self) -> tuple[VariantView, ...]:
        """Those that neither failed nor differ from the others: a wrong one is not called the fastest."""
        excluded = {finding.variant for finding in self.report.findings}
        return tuple(
            one
            for one in self.variants
            if one.outcome.status != "failed" and one.outcome.label not in excluded
        )

    # ---- losses -------------------------------------------------------------------------------------------

    @cached_property
    def gaps(self) -> tuple[LossGap, ...]:
        """The gap of each variant that has run steps and is no reference itself."""
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
            control = self.control_of(reference) if one.outcome.decides else None
            found.append(LossGap(one, reference, control, differences, self.report.first_step))
        return tuple(found)

    def reference_of(self, variant: VariantView) -> VariantView | None:
        """The reference of its precision; for a variant that does not decide, that of float32."""
        if variant.outcome.decides:
            return self.references.get(variant.outcome.precision)
        ordered = [self.references[key] for key in ("float32", "float64") if key in self.references]
        return ordered[0] if ordered else None

    @cached_property
    def references(self) -> dict[str, VariantView]:
        """The reference of each precision: the control's backend, or the one nearest to all others."""
        members: dict[str, list[VariantView]] = {}
        for one in self.variants:
            if one.outcome.decides and one.outcome.losses:
                members.setdefault(one.outcome.precision, []).append(one)
        found = {}
        for precision, group in members.items():
            control = self.controls.get(precision)
            label = control.variant if control else most_central([one.outcome for one in group]).label
            found[precision] = self.variant(label)
        return found

    @cached_property
    def speeds(self) -> Speeds:
        """How fast each variant was."""
        return self.report.speeds()


def _nan_as_infinity(value: float) -> float:
    """The value, with NaN as infinity, so that it is the largest."""
    return float("inf") if np.isnan(value) else value
