"""What training tells whoever listens. The command line draws these; a notebook may ignore them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charkit.training.interrupts import Interruption


@dataclass(frozen=True)
class Reading:
    """The text is being read or encoded; ``fraction`` is done."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Started:
    """Training is about to take its first step of this session."""

    run: Path
    backend: str
    precision: str
    device: str
    threads: int
    parameters: int
    vocabulary_size: int
    training_symbols: int
    steps_per_epoch: int
    total_steps: int
    step: int
    best_validation_loss: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """One line of ``metrics.jsonl``. Losses in nats per symbol; the loss is the mean since the last report."""

    step: int
    epoch: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    elapsed_seconds: float


@dataclass(frozen=True)
class Advanced:
    """A step was taken; ``seconds_left`` is an estimate, None before there is one."""

    step: int
    epoch: int
    total_steps: int
    seconds_left: float | None


@dataclass(frozen=True)
class Validating:
    """The validation split is being scored; ``fraction`` is done."""

    fraction: float


@dataclass(frozen=True)
class Sampled:
    """The sample drawn at a validation."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written; ``best`` if its validation loss is the lowest so far."""

    step: int
    path: Path
    best: bool


@dataclass(frozen=True)
class Stopping:
    """Someone wants training to stop: it will, and save, after the step and the validation in hand."""

    reason: Interruption


Event = Reading | Started | Report | Advanced | Validating | Sampled | Saved | Stopping
