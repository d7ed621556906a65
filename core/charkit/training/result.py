"""What a training session returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

StoppedBecause = Literal["epochs", "max_steps", "time_limit", "patience", "interrupted", "terminated"]


@dataclass(frozen=True)
class TrainResult:
    """How a training session ended. Losses in nats per symbol."""

    run: Path
    step: int
    epoch: int
    loss: float | None
    validation_loss: float | None
    best_validation_loss: float | None
    characters_per_second: float
    stopped_because: StoppedBecause
