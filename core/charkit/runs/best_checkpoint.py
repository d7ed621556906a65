"""The best checkpoint of a run that is resumed: is it still there, and does ``best`` point at it?"""

from __future__ import annotations

from pathlib import Path

from charkit.runs.checkpoint import CHECKPOINTS, checkpoint_names, damage
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.pointers import checkpoint_name, point, pointed_at


def with_intact_best(run: Path, progress: TrainingProgress) -> tuple[TrainingProgress, tuple[str, ...]]:
    """Points ``best`` at the best step of the progress, in case a crash came between saving and pointing.

    If that checkpoint is lost, the progress that is returned has no best step, and there is a notice: otherwise no
    later checkpoint would be the best, unless it had a lower loss than the lost one.
    """
    step = progress.best_step
    if step is None:
        return progress, ()
    name = checkpoint_name(step)
    problem = None if name in checkpoint_names(run) else "missing"
    if problem is None and step != progress.step and damage(run / CHECKPOINTS / name) is not None:
        problem = "damaged"
    if problem is not None:
        forgotten = progress.model_copy(update={"best_step": None, "best_validation_loss": None})
        return forgotten, (
            f"the best checkpoint, {name}, is {problem}; the best of the checkpoints saved from now on will replace it",
        )
    if pointed_at(run, "best") != name:
        point(run, "best", step)
    return progress, ()
