"""The training settings in a comparison, which has a length of its own and needs only some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from charkit.config import TrainingConfig
from charkit.runs.planned_end import total_steps
from charkit.settings import LENGTH

#: What a comparison never uses.
_UNUSED = {
    "time_limit",
    "eval_every",
    "patience",
    "save_every",
    "on_save_error",
    "log_every",
    "sample_length",
}


def training_notices(
    given: Mapping[str, Any], training: TrainingConfig, last_step: int, steps_per_epoch: int
) -> Iterator[str]:
    """Notices of the settings that were given and are not used, and of a schedule that goes on after the last step."""
    planned_end = total_steps(training, steps_per_epoch)
    goes_on = training.schedule != "constant" and planned_end > last_step
    keys = _UNUSED if goes_on else _UNUSED.union(LENGTH)
    if unused := [f"training.{key}" for key, value in given.items() if key in keys and value is not None]:
        yield f"a comparison ignores these settings: {', '.join(unused)}; `max_steps` sets its length"
    if goes_on:
        yield (
            f"the {training.schedule} learning-rate schedule ends at step {planned_end:,}, but the comparison ends "
            f"earlier, at step {last_step:,}"
        )


def settings_as_trained(
    training: TrainingConfig, precisions: Sequence[str], last_step: int
) -> TrainingConfig:
    """The settings for the report: with the length of the comparison, and a precision that takes part."""
    precision = training.precision if training.precision in precisions else precisions[0]
    return training.model_copy(
        update={"epochs": None, "max_steps": last_step, "time_limit": None, "precision": precision}
    )
