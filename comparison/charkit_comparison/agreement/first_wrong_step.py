"""Finds the first wrong step of a backend whose curve has left the others', by training it once more.

The steps that every backend is examined at start from the control's arrays. A mistake that depends on what a
backend has done before, such as a state that is lost at one step, shows only in its own training. So a backend whose
curve leaves the band trains again in a new process, and its own steps are judged by the oracle: those where the
difference to the others jumps, then those between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charkit.text.reading_progress import ProgressCallback
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.step_errors import StepError, judge_step
from charkit_comparison.agreement.step_examination import gradients_of
from charkit_comparison.agreement.step_reference import StepReference
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.spec import load_arrays
from charkit_comparison.processes.worker_process import StartWorker, WorkerProcess

#: Steps that are examined because the difference jumps there, each with the step before it.
JUMPS = 8
#: Up to so many steps between a right one and a wrong one are all examined; more are bisected.
SCANNED = 12


@dataclass(frozen=True)
class Divergence:
    """The result of a second training: how many steps were examined, and the first wrong one, if there is one."""

    examined: int
    last_right: int  # the last examined step before the wrong one
    error: StepError | None


def find_first_wrong_step(
    variant: Variant,
    plan: Plan,
    first_step: int,
    differences: Sequence[float],
    progress: ProgressCallback,
    start_worker: StartWorker = WorkerProcess,
) -> Divergence:
    """Trains a backend once more and finds its first wrong step; ``error`` is None where every one is right.

    ``differences`` are those of its losses to the reference's, of the steps from ``first_step`` on, up to the first
    that is too far apart. Raises WorkerFailedError.
    """
    steps = candidate_steps(differences, first_step)
    found = _examine(variant, plan, first_step, steps, progress, start_worker)
    while found.error is not None and found.error.step - found.last_right > 1:
        between = range(found.last_right + 1, found.error.step)
        steps = list(between) if len(between) <= SCANNED else [between[len(between) // 2]]
        closer = _examine(variant, plan, first_step, steps, progress, start_worker)
        found = Divergence(
            found.examined + closer.examined,
            max(closer.last_right, found.last_right),
            closer.error or found.error,
        )
        if len(between) <= SCANNED:
            break
    return found


def candidate_steps(differences: Sequence[float], first_step: int) -> list[int]:
    """The steps to examine first: the first, the last, where the difference jumps, and those before each."""
    values = np.asarray(differences, np.float64)
    before = np.maximum.accumulate(np.concatenate([[0.0], values[:-1]]))
    jumps = values / np.maximum(before, 1e-12)
    chosen = {0, 1, len(values) - 2, len(values) - 1, *np.argsort(-jumps)[:JUMPS].tolist()}
    near = {index - back for index in chosen for back in (0, 1)}
    return sorted(first_step + index for index in near if 0 <= index < len(values))


def _examine(
    variant: Variant,
    plan: Plan,
    first_step: int,
    steps: Sequence[int],
    progress: ProgressCallback,
    start_worker: StartWorker,
) -> Divergence:
    """Trains anew and judges some steps, in order, up to the first wrong one."""
    worker = start_worker(variant, plan, steps=steps[-1] - first_step + 1)
    recorded, results = plan.scratch_file("recorded"), plan.scratch_file("results")
    last_right = now = first_step - 1
    judged = 0
    try:
        worker.prepare()
        for step in steps:
            progress(f"{variant.label}: examining step {step:,} of its own training", 1.0)
            while now < step - 1:  # in turns no longer than those that it has run within the limit
                turn = min(step - 1 - now, max(plan.turns()))
                worker.request("train", steps=turn)
                now += turn
            worker.request("inspect", recorded=str(recorded), results=str(results))
            now = step
            reference = StepReference(RecordedStep.from_arrays(load_arrays(recorded)), plan.config)
            if not reference.has_diverged:
                judged += 1
                gradients = gradients_of(plan, worker.request, recorded)
                observed = StepResults.from_arrays(load_arrays(results))
                verdict = judge_step(reference, observed, variant.precision, gradients)
                if verdict.error is not None:
                    return Divergence(judged, last_right, verdict.error)
            last_right = step
        return Divergence(judged, last_right, None)
    finally:
        worker.close()
