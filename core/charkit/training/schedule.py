"""The course of the learning rate, computed by the core in float64 and handed to each step."""

from __future__ import annotations

from math import cos, pi

from charkit.config import OptimizerConfig, TrainingConfig
from charkit.runs.checkpoint import SchedulePlan


def total_steps(training: TrainingConfig, steps_per_epoch: int) -> int:
    """The step at which the whole run ends, by epochs or by ``max_steps``, whichever comes first."""
    by_epochs = training.epochs * steps_per_epoch
    return by_epochs if training.max_steps is None else min(by_epochs, training.max_steps)


def plan_until(last_step: int, training: TrainingConfig) -> SchedulePlan:
    """The plan of a schedule that begins after the warm-up and ends at ``last_step``."""
    return SchedulePlan(step=training.warmup_steps, fraction=0.0, last_step=last_step)


def replanned(plan: SchedulePlan, step: int, last_step: int) -> SchedulePlan:
    """The plan that goes on from where ``plan`` is at ``step``, and ends at ``last_step``."""
    step = max(step, plan.step)  # the schedule has not begun while the rate still rises
    return SchedulePlan(step=step, fraction=fraction_at(step, plan), last_step=last_step)


def fraction_at(step: int, plan: SchedulePlan) -> float:
    """How much of the schedule is done with a step, from 0 to 1."""
    done = (step - plan.step) / max(1, plan.last_step - plan.step)
    return min(1.0, plan.fraction + (1.0 - plan.fraction) * max(0.0, done)) if step < plan.last_step else 1.0


def learning_rate_at(
    step: int, plan: SchedulePlan, optimizer: OptimizerConfig, training: TrainingConfig
) -> float:
    """The learning rate of a step, counted from 1.

    It rises linearly over ``warmup_steps``, then stays, or falls along half a cosine to ``learning_rate_floor`` at
    the end of the plan (Loshchilov and Hutter, 2017).
    """
    peak, warmup = optimizer.learning_rate, training.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if training.schedule == "constant":
        return peak
    floor = min(training.learning_rate_floor, peak)
    done = fraction_at(step, plan)
    return floor + (peak - floor) * 0.5 * (1.0 + cos(pi * done))
