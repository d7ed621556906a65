"""Trials as the public interface has them, from the journal and from their runs."""

from __future__ import annotations

from dataclasses import replace

from charkit.errors import CharkitError
from charkit.runs.pointers import pointed_at, step_of
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit_sweep.decisions import TrialState
from charkit_sweep.folder import SweepFolder
from charkit_sweep.result import SweepTrial


def shown_trial(
    folder: SweepFolder, trial: TrialState, *, step: int = 0, is_running: bool = False
) -> SweepTrial:
    """A trial as the public interface has it; ``step`` is where one is that is being trained."""
    waits = trial.status == "running" and not is_running
    return SweepTrial(
        number=trial.number,
        run=folder.run_path(trial.number),
        values=trial.values,
        status="interrupted" if waits else trial.status,
        step=max(trial.step, step),
        loss=trial.loss,
        last_loss=trial.last_loss,
        seconds=trial.seconds,
        reason=trial.reason,
    )


def trial_as_saved(folder: SweepFolder, trial: TrialState) -> TrialState:
    """The trial with what its run has of it, if it is to go on: the journal has that only once it is at a rung.

    One that failed has its step and its time from there, but no loss. It is for users alone. What a sweep does next
    follows from the journal, which comes out the same in any session.
    """
    if trial.status not in {"running", "failed"}:
        return trial
    path = folder.run_path(trial.number)
    try:
        saved = pointed_at(path, "latest")
        records = Run.open(path).records(METRICS)
    except (CharkitError, OSError):  # it has not begun, or is damaged, which is found when it is resumed
        return trial
    known = replace(trial, step=max(trial.step, step_of(saved or "") or 0))
    if records:
        known = replace(known, seconds=max(trial.seconds, records[-1]["elapsed_seconds"]))
    if trial.status == "failed":
        return known
    losses = [record["validation_loss"] for record in records if record["validation_loss"] is not None]
    return replace(known, loss=min(losses), last_loss=losses[-1]) if losses else known
