"""Which steps of a comparison are examined, and the examination itself.

The control's training supplies what the steps start from, so that it costs no training of its own: at each chosen
step it writes its arrays, and every backend makes that one step from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from charkit.randomness import Purpose, uniform
from charkit_comparison.agreement.control import FLOOR_UNITS, ROUNDING_UNITS
from charkit_comparison.agreement.step_errors import StepError, StepVerdict, judge_step
from charkit_comparison.agreement.step_reference import StepReference
from charkit_comparison.agreement.steps import RecordedStep, StepResults
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.spec import load_arrays
from charkit_comparison.processes.worker_process import Child, ChildFailedError, StartChild, scratch

#: What can go wrong while steps are examined: the child, the disk, arrays of another shape, the oracle's memory.
TROUBLES = (ChildFailedError, OSError, ValueError, KeyError, MemoryError, SafetensorError)

Order = Callable[..., Mapping[str, Any]]
#: Hears what is being done, and which share of the control or of one examination is done.
Progress = Callable[[str, float], None]


def steps_to_examine(
    reference: Sequence[float],
    others: Sequence[Sequence[float]],
    *,
    precision: str,
    first_step: int,
    at_random: int,
    seed: int,
) -> list[int]:
    """The first step, the last, where each curve parts fastest from the reference, and some drawn at random."""
    count = len(reference)
    if count == 0:
        return []
    chosen = {0, count - 1}
    for losses in others:
        if losses:
            chosen.add(_parts_fastest(reference, losses, precision))
    rest = np.array([index for index in range(count) if index not in chosen], np.int64)
    draws = uniform(seed, Purpose.EXAMINATION, 0, size=len(rest))
    chosen |= set(rest[np.argsort(draws)[:at_random]].tolist())
    return sorted(first_step + index for index in chosen)


def growth(reference: Sequence[float], losses: Sequence[float], precision: str) -> NDArray[np.float64]:
    """By what the difference of two curves grows at each step, relative to the largest before it."""
    steps = min(len(reference), len(losses))
    ours = np.asarray(reference[:steps], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = np.nan_to_num(np.abs(ours - np.asarray(losses[:steps], np.float64)), nan=np.inf)
        floor = FLOOR_UNITS * ROUNDING_UNITS[precision] * np.abs(ours[0])
        before = np.maximum(np.maximum.accumulate(np.concatenate([[0.0], gaps[:-1]])), floor)
        return np.asarray(np.nan_to_num(gaps / before, nan=1.0, posinf=np.finfo(np.float64).max))


def _parts_fastest(reference: Sequence[float], losses: Sequence[float], precision: str) -> int:
    return int(np.argmax(growth(reference, losses, precision)))


@dataclass
class Control:
    """The reference's second training, from weights moved by one rounding unit."""

    variant: Variant
    losses: list[float] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)  # the steps whose arrays were written


def train_control(
    variant: Variant,
    plan: Plan,
    first_step: int,
    steps: Sequence[int],
    progress: Progress,
    start_child: StartChild = Child,
    *,
    number: int = 1,
) -> Control:
    """Trains a control, and writes what these steps start from. Raises ChildFailedError, OSError."""
    control = Control(variant)
    child = start_child(variant, plan, control=number)
    try:
        child.prepare()
        now, last = first_step - 1, first_step + plan.steps - 1
        for stop in [*steps, last + 1]:
            while now < stop - 1:
                turn = min(stop - 1 - now, max(plan.turns()))
                share = (now - first_step + 1) / plan.steps
                progress(f"{variant.label}: control, step {now + 1:,} of {last:,}", share)
                control.losses += child.order("train", steps=turn)["losses"]
                now += turn
            if stop <= last:
                answer = child.order("record", to=str(recorded_path(plan, stop)))
                control.losses += answer["losses"]
                control.recorded.append(stop)
                now += 1
    finally:
        child.close()
    return control


def recorded_path(plan: Plan, step: int) -> Path:
    """Where the arrays are that a step starts from."""
    return scratch(plan, f"step-{step}")


class Examiner:
    """Has backends make the recorded steps, and holds each against the oracle's, which is computed once."""

    def __init__(self, plan: Plan, steps: Sequence[int]) -> None:
        self.plan, self.steps = plan, list(steps)
        self._references: dict[int, StepReference] = {}

    def examine(self, variant: Variant, order: Order, progress: Progress) -> list[StepVerdict]:
        """The verdict on each step, in order, up to the first that is wrong. Raises one of TROUBLES."""
        verdicts = []
        for place, step in enumerate(self.steps):
            progress(f"{variant.label}: examining step {step:,}", place / len(self.steps))
            verdict = self._judge(variant, order, step)
            verdicts.append(verdict)
            if verdict.error is not None:
                break
        return verdicts

    def _judge(self, variant: Variant, order: Order, step: int) -> StepVerdict:
        results = self._results(order, step)
        later = self.steps[-1]
        return judge_step(
            self._reference(step),
            results,
            variant.precision,
            gradients_of(self.plan, order, recorded_path(self.plan, step)),
            None if later == step else lambda: (self._reference(later), self._results(order, later)),
        )

    def _reference(self, step: int) -> StepReference:
        if step not in self._references:
            arrays = RecordedStep.from_arrays(load_arrays(recorded_path(self.plan, step)))
            self._references[step] = StepReference(arrays, self.plan.config)
        return self._references[step]

    def _results(self, order: Order, step: int) -> StepResults:
        results = scratch(self.plan, "results")
        order("examine", recorded=str(recorded_path(self.plan, step)), results=str(results))
        return StepResults.from_arrays(load_arrays(results))


def gradients_of(
    plan: Plan, order: Order, recorded: Path
) -> Callable[[Sequence[int]], Mapping[str, np.ndarray[Any, Any]]]:
    """A function that has a child compute the gradients of some sequences of a recorded step."""

    def compute(sequences: Sequence[int]) -> Mapping[str, np.ndarray[Any, Any]]:
        results = scratch(plan, "gradients")
        order("examine", recorded=str(recorded), results=str(results), sequences=list(sequences))
        return load_arrays(results)

    return compute


def first_error(verdicts: Sequence[StepVerdict]) -> StepError | None:
    """The error of the first wrong step, if there is one."""
    return next((verdict.error for verdict in verdicts if verdict.error is not None), None)
