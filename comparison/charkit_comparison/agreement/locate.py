"""Where did a backend's curve leave the others'? Its first wrong step, found by training it once more.

The steps that every backend is examined at start from the control's arrays. A mistake that depends on what a
backend has done before, such as a state that is lost at one step, shows on its own path only. So a backend whose
curve leaves the band trains again in a new process, and its own steps are held against the oracle: those where the
difference to the others jumps, then those between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charkit_comparison.agreement.examination import Progress, gradients_of
from charkit_comparison.agreement.step_errors import StepError, judge_step
from charkit_comparison.agreement.step_reference import StepReference
from charkit_comparison.agreement.steps import RecordedStep, StepResults
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.spec import load_arrays
from charkit_comparison.processes.worker_process import Child, StartChild, scratch

#: Steps that are examined because the difference jumps there, each with the step before it.
JUMPS = 8
#: Steps between a right one and a wrong one that are all examined; more are halved.
SCANNED = 12


def locate_error(
    variant: Variant,
    plan: Plan,
    first_step: int,
    gaps: Sequence[float],
    progress: Progress,
    start_child: StartChild = Child,
) -> tuple[int, StepError | None]:
    """How many steps were examined, and the first wrong one, or None where every one of them is right.

    ``gaps`` are the differences of its losses to the reference's, of the steps from ``first_step`` on, up to the
    first that is too far apart. Raises ChildFailedError.
    """
    found = _examine(variant, plan, first_step, candidates(gaps, first_step), progress, start_child)
    examined = found.examined
    while found.error is not None and found.error.step - found.right > 1:
        between = range(found.right + 1, found.error.step)
        steps = list(between) if len(between) <= SCANNED else [between[len(between) // 2]]
        closer = _examine(variant, plan, first_step, steps, progress, start_child)
        examined += closer.examined
        found = _Examined(examined, max(closer.right, found.right), closer.error or found.error)
        if len(between) <= SCANNED:
            break
    return examined, found.error


def candidates(gaps: Sequence[float], first_step: int) -> list[int]:
    """The steps to examine first: the first, the last, where the difference jumps, and those before each."""
    differences = np.asarray(gaps, np.float64)
    before = np.maximum.accumulate(np.concatenate([[0.0], differences[:-1]]))
    jumps = differences / np.maximum(before, 1e-12)
    chosen = {0, 1, len(gaps) - 2, len(gaps) - 1, *np.argsort(-jumps)[:JUMPS].tolist()}
    near = {index - back for index in chosen for back in (0, 1)}
    return sorted(first_step + index for index in near if 0 <= index < len(gaps))


@dataclass(frozen=True)
class _Examined:
    examined: int
    right: int  # the last step before the wrong one that was examined and is right
    error: StepError | None


def _examine(
    variant: Variant,
    plan: Plan,
    first_step: int,
    steps: Sequence[int],
    progress: Progress,
    start_child: StartChild,
) -> _Examined:
    """Trains anew and judges some steps, in order, up to the first wrong one."""
    child = start_child(variant, plan, steps=steps[-1] - first_step + 1)
    recorded, results = scratch(plan, "recorded"), scratch(plan, "results")
    right = first_step - 1
    try:
        child.prepare()
        now = first_step - 1
        for count, step in enumerate(steps, start=1):
            progress(f"{variant.label}: examining step {step:,} of its own training", 1.0)
            while now < step - 1:  # in turns no longer than those that it has made within the limit
                turn = min(step - 1 - now, max(plan.turns()))
                child.order("train", steps=turn)
                now += turn
            child.order("inspect", recorded=str(recorded), results=str(results))
            now = step
            verdict = judge_step(
                StepReference(RecordedStep.from_arrays(load_arrays(recorded)), plan.config),
                StepResults.from_arrays(load_arrays(results)),
                variant.precision,
                gradients_of(plan, child.order, recorded),
            )
            if verdict.error is not None:
                return _Examined(count, right, verdict.error)
            right = step
        return _Examined(len(steps), right, None)
    finally:
        child.close()
