"""The findings of one precision: the control and its band, the verdict on each backend, and what differs where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from charkit_comparison.agreement.curve_differences import first_outside_band, loss_differences
from charkit_comparison.agreement.rounding_control import BAND_FACTOR, ROUNDING_UNITS, band, excess
from charkit_comparison.agreement.step_errors import StepError
from charkit_comparison.report_parts import Control, Examination, Finding, Outcome

Floats = NDArray[np.float64]


@dataclass
class PrecisionFindings:
    """What the examination of one precision has found so far."""

    precision: str
    first_step: int
    control: Control | None = None
    band: Floats | None = None  # nats, by step
    #: Of the reference's steps, how many are not judged because training has diverged.
    diverged: int = 0
    examinations: list[Examination] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    #: Pairs outside the band, by their labels, whose every examined step there is right.
    explained: set[frozenset[str]] = field(default_factory=set)

    @property
    def wrong(self) -> set[str]:
        """The labels of those that have a wrong step, or that could not be examined."""
        located = {finding.variant for finding in self.findings if finding.step is not None}
        return located | {one.variant for one in self.examinations if one.reason}

    def add_control(self, reference: Outcome, losses: Sequence[float], vocabulary_size: int) -> None:
        """Widens the band by the losses of a control that the reference has trained."""
        precision, before = reference.precision, self.control
        added = band(reference.losses, losses, precision, vocabulary_size)
        self.band = added if self.band is None else np.maximum(self.band, added)
        differences = np.abs(
            np.subtract(reference.losses[: len(added)], losses[: len(added)], dtype=np.float64)
        )
        largest = float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0))
        self.control = Control(
            precision=precision,
            variant=reference.label,
            rounding_unit=ROUNDING_UNITS[precision],
            trained=1 if before is None else before.trained + 1,
            losses=tuple(losses) if before is None else before.losses,
            largest_loss_difference=largest
            if before is None
            else max(largest, before.largest_loss_difference),
            band=tuple(self.band.tolist()),
            factor=BAND_FACTOR,
        )

    def times_apart(self, first: Outcome, second: Outcome) -> float:
        """How many times as far apart two curves are as the controls, at most."""
        assert self.band is not None
        return float(excess(loss_differences(first, second), self.band).max(initial=0.0))

    def add_wrong_step(
        self, outcome: Outcome, reference: Outcome, error: StepError, *, is_counted: bool = False
    ) -> None:
        """Adds the first wrong step of a backend; ``is_counted``: its examination counts the step as wrong already."""
        located = {
            "step": error.step,
            "array": error.array,
            "expected": error.expected,
            "got": error.got,
            "look_at": error.look_at,
        }
        self.findings.append(self._finding(outcome, reference).model_copy(update=located))
        for index, one in enumerate(self.examinations):
            if one.variant == outcome.label and not is_counted:
                matching = one.matching - (error.step in one.steps)
                steps = tuple(sorted({*one.steps, error.step}))
                self.examinations[index] = one.model_copy(update={"steps": steps, "matching": matching})

    def add_disagreement(self, outcome: Outcome, reference: Outcome, look_at: str) -> None:
        """Adds two curves that differ by more than rounding explains, without a wrong step."""
        self.findings.append(self._finding(outcome, reference).model_copy(update={"look_at": look_at}))

    def _finding(self, outcome: Outcome, reference: Outcome) -> Finding:
        if reference is outcome:
            return Finding(variant=outcome.label, reference="", differs_from_step=None, by_nats=0.0)
        index = first_outside_band(outcome, reference, self.band)
        return Finding(
            variant=outcome.label,
            reference=reference.label,
            differs_from_step=None if index is None else self.first_step + index,
            by_nats=float(loss_differences(outcome, reference).max(initial=0.0)),
        )
