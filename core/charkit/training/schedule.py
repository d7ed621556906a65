"""The learning-rate schedule, computed by the core in float64 and handed to each step."""

from __future__ import annotations

from collections.abc import Collection
from math import cos, pi

from charkit.config import OptimizerConfig, TrainingConfig
from charkit.runs.checkpoint_content import SchedulePlan


def plan_until(last_step: int, training: TrainingConfig) -> SchedulePlan:
    """The plan of a schedule that begins after the warm-up and ends at ``last_step``."""
    return SchedulePlan(step=training.warmup_steps, fraction=0.0, last_step=last_step)


def replanned(plan: SchedulePlan, step: int, last_step: int) -> SchedulePlan:
    """The plan that goes on from where ``plan`` is at ``step``, and ends at ``last_step``."""
    # The schedule begins after the warm-up, even if the old plan ended before that.
    if step <= plan.step:
        return plan.model_copy(update={"last_step": last_step})
    return SchedulePlan(step=step, fraction=fraction_at(step, plan), last_step=last_step)


def fraction_at(step: int, plan: SchedulePlan) -> float:
    """How much of the schedule is done with a step, from 0 to 1."""
    done = (step - plan.step) / max(1, plan.last_step - plan.step)
    return min(1.0, plan.fraction + (1.0 - plan.fraction) * max(0.0, done)) if step < plan.last_step else 1.0


def learning_rate_at(
    step: int, plan: SchedulePlan, optimizer: OptimizerConfig, training: TrainingConfig
) -> float:
    """The learning rate of a step, counted from 1.

    It rises linearly over ``warmup_steps`` and then follows the schedule, which ends at ``learning_rate_floor``, at
    the plan's last step, unless it is constant.
    """
    peak, warmup = optimizer.learning_rate, training.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if training.schedule == "constant":
        return peak
    floor = min(training.learning_rate_floor, peak)
    return floor + (peak - floor) * _height(fraction_at(step, plan), training)


def settings_without_effect(
    given: Collection[str], optimizer: OptimizerConfig, training: TrainingConfig
) -> tuple[str, ...]:
    """A line for each ``given`` setting of the schedule that its other settings leave without effect."""
    schedule, floor, rate = training.schedule, training.learning_rate_floor, optimizer.learning_rate
    without = f"has no effect with the schedule {schedule!r}, only with"
    lines = []
    if "learning_rate_floor" in given and schedule == "constant":
        lines.append(f"`learning_rate_floor` {without} a decaying one")
    elif "learning_rate_floor" in given and floor >= rate:
        lines.append(
            f"the learning rate does not fall: `learning_rate_floor` {floor:g} is not below `learning_rate` {rate:g}"
        )
    if "cooldown_share" in given and schedule != "cooldown":
        lines.append(f"`cooldown_share` {without} 'cooldown'")
    return tuple(lines)


def _height(done: float, training: TrainingConfig) -> float:
    """How high above the floor a falling schedule is, from 1 to 0, when the fraction ``done`` of it is done.

    ``cosine`` is half a cosine (Loshchilov and Hutter, 2017), ``linear`` a straight line, and ``cooldown`` stays high
    and falls along a straight line in the last part of it, ``cooldown_share`` (Hägele et al., 2024).
    """
    if training.schedule == "cosine":
        return 0.5 * (1.0 + cos(pi * done))
    if training.schedule == "linear":
        return 1.0 - done
    return min(1.0, (1.0 - done) / training.cooldown_share)
