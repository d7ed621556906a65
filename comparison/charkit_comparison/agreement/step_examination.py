"""The examination of single steps: a backend runs each recorded step, and the oracle judges its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from charkit.text.reading_progress import ProgressCallback
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.rounding_control_training import recorded_path
from charkit_comparison.agreement.step_errors import StepError, StepVerdict, judge_step
from charkit_comparison.agreement.step_reference import StepReference
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.spec import load_arrays
from charkit_comparison.processes.worker_process import WorkerFailedError

#: What can fail while steps are examined: the worker, the disk, arrays of another shape, the oracle's memory.
EXAMINATION_ERRORS = (WorkerFailedError, OSError, ValueError, KeyError, MemoryError, SafetensorError)

#: Sends a request to a worker and returns its response.
Request = Callable[..., Mapping[str, Any]]


class StepExaminer:
    """Has backends run the recorded steps, and compares each with the oracle's, which is computed once."""

    def __init__(self, plan: Plan, steps: Sequence[int]) -> None:
        self.plan, self.steps = plan, list(steps)
        self._references: dict[int, StepReference] = {}

    def examine(self, variant: Variant, request: Request, progress: ProgressCallback) -> list[StepVerdict]:
        """The verdict on each step, in order, up to the first that is wrong. Raises one of EXAMINATION_ERRORS."""
        verdicts = []
        for index, step in enumerate(self.steps):
            progress(f"{variant.label}: examining step {step:,}", index / len(self.steps))
            verdict = self._judge(variant, request, step)
            verdicts.append(verdict)
            if verdict.error is not None:
                break
        return verdicts

    def _judge(self, variant: Variant, request: Request, step: int) -> StepVerdict:
        results = self._results(request, step)
        later = self.steps[-1]
        return judge_step(
            self._reference(step),
            results,
            variant.precision,
            gradients_of(self.plan, request, recorded_path(self.plan, step)),
            None if later == step else lambda: (self._reference(later), self._results(request, later)),
        )

    def _reference(self, step: int) -> StepReference:
        if step not in self._references:
            arrays = RecordedStep.from_arrays(load_arrays(recorded_path(self.plan, step)))
            self._references[step] = StepReference(arrays, self.plan.config)
        return self._references[step]

    def _results(self, request: Request, step: int) -> StepResults:
        results = self.plan.scratch_file("results")
        request("examine", recorded=str(recorded_path(self.plan, step)), results=str(results))
        return StepResults.from_arrays(load_arrays(results))


def gradients_of(
    plan: Plan, request: Request, recorded: Path
) -> Callable[[Sequence[int]], Mapping[str, np.ndarray[Any, Any]]]:
    """A function that has a worker compute the gradients of some sequences of a recorded step."""

    def compute(sequences: Sequence[int]) -> Mapping[str, np.ndarray[Any, Any]]:
        results = plan.scratch_file("gradients")
        request("examine", recorded=str(recorded), results=str(results), sequences=list(sequences))
        return load_arrays(results)

    return compute


def first_error(verdicts: Sequence[StepVerdict]) -> StepError | None:
    """The error of the first wrong step, if there is one."""
    return next((verdict.error for verdict in verdicts if verdict.error is not None), None)
