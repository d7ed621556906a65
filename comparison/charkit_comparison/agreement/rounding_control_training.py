"""The training of a control, which also records what the examined steps start from.

So the recorded steps cost no training of their own: every backend runs the same steps from the same arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from charkit.text.reading_progress import ProgressCallback
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.worker_process import StartWorker, WorkerProcess


@dataclass
class ControlTraining:
    """The losses of a control, and the steps whose arrays were recorded."""

    variant: Variant
    losses: list[float] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)


def train_control(
    variant: Variant,
    plan: Plan,
    first_step: int,
    steps: Sequence[int],
    progress: ProgressCallback,
    start_worker: StartWorker = WorkerProcess,
    *,
    number: int = 1,
) -> ControlTraining:
    """Trains a control, and records what these steps start from. Raises WorkerFailedError, OSError."""
    control = ControlTraining(variant)
    worker = start_worker(variant, plan, control=number)
    now, last = first_step - 1, first_step + plan.steps - 1

    def report(share: float, begun: int, turn: int) -> None:
        done = begun + share * turn
        what = f"{variant.label}: control, step {int(done) + 1:,} of {last:,}"
        progress(what, (done - first_step + 1) / plan.steps)

    try:
        worker.prepare()
        for stop in [*steps, last + 1]:
            while now < stop - 1:
                turn = min(stop - 1 - now, max(plan.turns()))
                report(0.0, now, turn)
                within = partial(report, begun=now, turn=turn)
                control.losses += worker.request("train", steps=turn, on_progress=within)["losses"]
                now += turn
            if stop <= last:
                response = worker.request("record", to=str(recorded_path(plan, stop)))
                control.losses += response["losses"]
                control.recorded.append(stop)
                now += 1
    finally:
        worker.close()
    return control


def recorded_path(plan: Plan, step: int) -> Path:
    """The file of the arrays that a step starts from."""
    return plan.scratch_file(f"step-{step}")
