"""The course of the learning rate, computed by the core in float64 and handed to each step."""

from __future__ import annotations

from math import cos, pi

from charkit.config import OptimizerConfig, TrainingConfig


def learning_rate_at(
    step: int, total_steps: int, optimizer: OptimizerConfig, training: TrainingConfig
) -> float:
    """The learning rate of a step, counted from 1.

    It rises linearly over ``warmup_steps``, then stays, or falls along half a cosine to
    ``learning_rate_floor`` at ``total_steps`` (Loshchilov and Hutter, 2017).
    """
    peak, warmup = optimizer.learning_rate, training.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if training.schedule == "constant":
        return peak
    floor = min(training.learning_rate_floor, peak)
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return floor + (peak - floor) * 0.5 * (1.0 + cos(pi * done))
