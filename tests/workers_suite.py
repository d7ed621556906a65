"""What every backend owes to training on workers: the same bits with any number of them.

class TestTorch(SameBitsOnWorkers):
    backend = "torch"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import charkit
from charkit.training.result import TrainResult
from support import SMALL
from training_support import bits_of


class SameBitsOnWorkers:
    """The test; a subclass says which backend, with how many workers one after the other, and on which engine."""

    backend: ClassVar[str]
    counts: ClassVar[tuple[int, ...]] = (1, 2)
    engine: ClassVar[str] = "local"

    def train(self, text: Path, name: str, **options: Any) -> TrainResult:
        """Trains a small model with dropout on batches of eight shards."""
        settings = {**SMALL, "lstm_size": 24, "batch_size": 16, "dropout": 0.3, "shards": 8, "max_steps": 4}
        return charkit.train(text, run=name, backend=self.backend, threads=1, **{**settings, **options})

    def test_a_run_that_goes_from_workers_to_more_of_them_has_the_bits_of_one_process(
        self, text_file: Path
    ) -> None:
        alone = bits_of(self.train(text_file, "alone", max_steps=2 * len(self.counts)))
        on = {"engine": self.engine, "backend": self.backend, "threads": 1}
        first, *others = self.counts
        result = self.train(text_file, "moving", max_steps=2, workers=first, engine=self.engine)
        for number, count in enumerate(others, start=2):
            result = charkit.train(resume=result.run, workers=count, max_steps=2 * number, **on)
        moved = bits_of(result)
        assert [name for name in alone if moved[name] != alone[name]] == []
