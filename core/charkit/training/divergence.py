"""Training that diverged: what stopped being a number, where, and what to change."""

from __future__ import annotations

from pathlib import Path

from charkit.config import OptimizerConfig
from charkit.errors import NotFiniteError


def divergence_error(
    what: str, run: Path, saved_step: int, backend: str, optimizer: OptimizerConfig
) -> NotFiniteError:
    """The error for a training in which something is not finite; ``saved_step`` is the last good one."""
    return NotFiniteError(
        f"{what}; the last good checkpoint of {str(run)!r} is at step {saved_step:,}; try {remedy(optimizer)}, then "
        f"continue the run with `resume={str(run)!r}` `backend={backend!r}`"
    )


def remedy(optimizer: OptimizerConfig) -> str:
    """The settings that keep the numbers small, as they are now, and where they should go."""
    decay = f", a `weight_decay` below {optimizer.weight_decay:g}" if optimizer.weight_decay else ""
    clip = f"a `grad_clip` below {optimizer.grad_clip:g}" if optimizer.grad_clip else "a `grad_clip` above 0"
    return f"a `learning_rate` below {optimizer.learning_rate:g}{decay} or {clip}"
