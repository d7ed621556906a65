"""What follows from a report's numbers: the reference, differences to it, speeds beside each other, the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charkit.comparison import Report
from charkit.comparison.agreement import nearest_to_all
from charkit.comparison.report import Outcome, Pair, Round
from charkit.comparison.words import counted, names
from charkit_reports import words
from charkit_reports.palette import Look

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """One variant of the report, and how it looks."""

    outcome: Outcome
    look: Look

    @property
    def label(self) -> str:
        """Its name, on one line."""
        return words.one_line(self.outcome.label)

    @property
    def marked(self) -> str:
        """Its name, and whether it is only shown."""
        return self.label if self.outcome.decides else f"{self.label} (shown only)"


@dataclass(frozen=True)
class Gap:
    """A variant's losses beside its reference's, over the steps that both have made."""

    variant: Variant
    reference: Variant
    bound: float | None
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

    @property
    def beyond_from(self) -> int | None:
        """The first step beyond the bound."""
        if self.bound is None:
            return None
        beyond = ~(self.differences <= self.bound)  # what is not a number is beyond every bound
        return self.first_step + int(beyond.argmax()) if beyond.any() else None


@dataclass(frozen=True)
class Pace:
    """How fast a variant was: each round, their median, and its time beside the fastest's in the same round."""

    variant: Variant
    values: tuple[float, ...]
    median: float | None
    times_as_long: float | None  # the median of the rounds; 1 for the fastest
    spread: tuple[float, float] | None  # the smallest and the largest of the rounds


@dataclass(frozen=True)
class Gain:
    """A framework's own layers, and how many times as fast charkit's backend on the same framework trains."""

    own: Variant
    backend: Variant
    times_as_fast: float  # the median of the rounds
    spread: tuple[float, float]


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
        return tuple(pair for pair in self.report.pairs if pair.bound is not None)

    @property
    def answer(self) -> Literal["yes", "no", "none"]:
        """Whether all agree; none where there was no pair to judge."""
        if not self.judged:
            return "none"
        return "yes" if self.report.agree else "no"

    @property
    def headline(self) -> str:
        """The answer in a few words."""
        if self.answer == "none":
            return "Nothing to judge"
        if self.answer == "no":
            return "No, they do not agree" if len(self.judged) == 1 else "No, they do not all agree"
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
            bound = self.report.bounds.get(one.outcome.precision) if one.outcome.decides else None
            found.append(Gap(one, reference, bound, differences, self.report.first_step))
        return tuple(found)

    def reference_of(self, variant: Variant) -> Variant | None:
        """The backend that is nearest to all of its precision; for what does not decide, that of float32."""
        if variant.outcome.decides:
            return self.references.get(variant.outcome.precision)
        ordered = [self.references[key] for key in ("float32", "float64") if key in self.references]
        return ordered[0] if ordered else None

    @cached_property
    def references(self) -> dict[str, Variant]:
        """By precision, the one that the others are drawn against: the smallest median difference, or the first."""
        members: dict[str, list[Variant]] = {}
        for one in self.variants:
            if one.outcome.decides and one.outcome.losses:
                members.setdefault(one.outcome.precision, []).append(one)
        return {
            precision: self.variant(nearest_to_all([one.outcome.label for one in group], self.judged))
            for precision, group in members.items()
        }

    # ---- speed --------------------------------------------------------------------------------------------

    @cached_property
    def training(self) -> tuple[Pace, ...]:
        """Training speeds."""
        return self._paces(lambda one: one.characters_per_second)

    @cached_property
    def sampling(self) -> tuple[Pace, ...]:
        """Sampling speeds."""
        return self._paces(lambda one: one.sampling_characters_per_second)

    @cached_property
    def gains(self) -> tuple[Gain, ...]:
        """Each framework's own layers beside charkit's backend on it in the same precision and environment."""
        found = []
        for own in self.variants:
            for backend in self.variants:
                if own.outcome.kind != "own layers" or not _same_place(own.outcome, backend.outcome):
                    continue
                theirs, ours = ([r.characters_per_second for r in v.outcome.rounds] for v in (own, backend))
                ratios = _paired(ours, theirs)
                if ratios:
                    found.append(Gain(own, backend, float(np.median(ratios)), (min(ratios), max(ratios))))
        return tuple(found)

    def _paces(self, of: Callable[[Round], float | None]) -> tuple[Pace, ...]:
        speeds = [[of(one) for one in variant.outcome.rounds] for variant in self.variants]
        medians = [_median([value for value in values if value]) for values in speeds]
        able = [place for place, median in enumerate(medians) if median is not None]
        fastest = max(able, key=lambda place: medians[place] or 0.0, default=None)
        paces = []
        for variant, values, median in zip(self.variants, speeds, medians, strict=True):
            ratios = [] if fastest is None else _paired(speeds[fastest], values)
            paces.append(
                Pace(
                    variant,
                    tuple(value for value in values if value),
                    median,
                    _median(ratios),
                    (min(ratios), max(ratios)) if ratios else None,
                )
            )
        return tuple(paces)


def _same_place(own: Outcome, backend: Outcome) -> bool:
    """Whether the second is charkit's backend where the first is what its users would write."""
    return backend.kind == "backend" and all(
        getattr(own, key) == getattr(backend, key) for key in ("backend", "precision", "device", "python")
    )


def _paired(fastest: Sequence[float | None], values: Sequence[float | None]) -> list[float]:
    """How many times as long as the fastest, round by round, so that a busy moment weighs on both."""
    return [first / value for first, value in zip(fastest, values, strict=False) if first and value]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _last_if_odd(value: float) -> float:
    """Puts what is not a number beyond all numbers."""
    return float("inf") if np.isnan(value) else value
