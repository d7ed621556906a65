"""Short runs, and what is compared of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import charkit
from charkit.runs.background_save import THREAD_NAME
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.training.result import TrainResult
from support import SMALL


def train(text: Path | None = None, **options: Any) -> TrainResult:
    return charkit.train(text, threads=1, **({} if "resume" in options else SMALL), **options)


def weights_of(result: TrainResult) -> dict[str, Any]:
    return Run.open(result.run).checkpoint("latest")[0].snapshot.weights


def losses_of(result: TrainResult) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in Run.open(result.run).records(METRICS)]


def bits_of(result: TrainResult) -> dict[str, bytes]:
    """Weights, moments, state and step of the last checkpoint, as bytes."""
    snapshot = Run.open(result.run).checkpoint("latest")[0].snapshot
    return {name: array.tobytes() for name, array in snapshot.arrays().items()}


def wait_for_save() -> None:
    """Waits until no checkpoint is being written in this process."""
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join()
