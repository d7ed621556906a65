"""A run that several tests of the Python interface use."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.training.result import TrainResult
from support import SMALL


@pytest.fixture
def trained(text_file: Path) -> TrainResult:
    """A run of 12 steps with three validations, made in the test's own folder."""
    return charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL)
