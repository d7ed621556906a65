"""PyTorch on workers: the same bits with any number of them, in every precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_support import bits_of
from workers_suite import SameBitsOnWorkers

pytestmark = pytest.mark.torch


class TestTorch(SameBitsOnWorkers):
    backend = "torch"
    counts = (1, 2, 4, 8)

    @pytest.mark.parametrize("precision", ["bfloat16", "float64"])
    def test_the_bits_are_the_same_in_other_precisions(self, text_file: Path, precision: str) -> None:
        alone = self.train(text_file, "alone", precision=precision)
        assert bits_of(self.train(text_file, "on-two", precision=precision, workers=2)) == bits_of(alone)
