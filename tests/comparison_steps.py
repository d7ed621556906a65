"""Recorded steps of the NumPy backend, for the tests of how they are judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.charrnn import CharRNN
from charkit.config import RunConfig
from charkit.training.steps import TrainingStep
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults


def made(precision: str = "float32", **settings: Any) -> tuple[RecordedStep, StepResults, RunConfig]:
    """The third step of a small model, recorded and made."""
    model = CharRNN(
        11, 4, 6, lstm_size=8, dropout=0.3, grad_clip=0.5, precision=precision, threads=1, seed=3, **settings
    )
    rng = np.random.default_rng(0)
    for _ in range(2):
        text = rng.integers(0, 11, (4, 7)).astype(np.int32)
        model.train_step(text[:, :-1].copy(), text[:, 1:].copy())
    text = rng.integers(0, 11, (4, 7)).astype(np.int32)
    step = TrainingStep(3, text[:, :-1].copy(), text[:, 1:].copy(), model.masks(3, (4, 6)), 0.002)
    recorded = RecordedStep.of(model, step)
    config = RunConfig(model=model.config, optimizer=model.optimizer_config)
    return recorded, StepResults.of(model, recorded), config


def off(array: Any, share: float) -> Any:
    """The array with its largest element changed by a share of it."""
    changed = np.array(array)
    index = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    changed[index] *= 1 + share
    return changed
