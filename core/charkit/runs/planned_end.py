"""The step at which a run is planned to end."""

from __future__ import annotations

from charkit.config import TrainingConfig
from charkit.runs.checkpoint_content import TrainingProgress


def total_steps(training: TrainingConfig, steps_per_epoch: int) -> int:
    """The step at which the whole run ends, by epochs or by ``max_steps``, whichever is set and comes first."""
    by_epochs = None if training.epochs is None else training.epochs * steps_per_epoch
    return min(last for last in (by_epochs, training.max_steps) if last is not None)


def planned_last_step(progress: TrainingProgress, steps_per_epoch: int) -> int:
    """The last step of a run by its settings, or by the plan of an earlier session."""
    total = total_steps(progress.training, steps_per_epoch)
    return total if progress.plan is None else min(total, progress.plan.last_step)
