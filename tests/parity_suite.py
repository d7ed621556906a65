"""What every backend shares with NumPy: the same curve, the same text, and runs that go from one to the other.

class TestTorch(ParityWithNumpy):
    backend = "torch"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import charkit
from charkit.run import METRICS, Run
from charkit.training import TrainResult
from support import SMALL, SMALL_TEXT


def curve(result: TrainResult) -> Any:
    """The loss of each step."""
    return np.array([record["loss"] for record in Run.open(result.run).records(METRICS)])


class ParityWithNumpy:
    """The tests; a subclass says which backend, and with how many threads (None: a number settled once per process)."""

    backend: ClassVar[str]
    threads: ClassVar[int | None] = 1

    @pytest.fixture
    def long_text(self, tmp_path: Path) -> Path:
        path = tmp_path / "long.txt"
        path.write_text(SMALL_TEXT * 20, "utf-8")
        return path

    def train(self, backend: str, text: Path | None = None, **options: Any) -> TrainResult:
        """Trains, reporting each step; at higher learning rates training itself amplifies float32 rounding."""
        shape = {
            **SMALL,
            "lstm_size": 24,
            "batch_size": 8,
            "num_steps": 20,
            "dropout": 0.3,
            "log_every": 1,
            "learning_rate": 0.001,
        }
        settings = {} if "resume" in options else shape
        return charkit.train(text, backend=backend, threads=self.threads, **settings, **options)

    @pytest.mark.parametrize(
        ("precision", "largest", "mean"), [("float32", 1e-4, 1e-5), ("float64", 1e-9, 1e-10)]
    )
    def test_loss_curves_lie_on_each_other(
        self, long_text: Path, precision: str, largest: float, mean: float
    ) -> None:
        numpy, other = (
            self.train(name, long_text, max_steps=200, precision=precision)
            for name in ("numpy", self.backend)
        )
        difference = np.abs(curve(numpy) - curve(other))
        assert len(difference) == 200
        assert curve(numpy)[-1] < 0.8 * curve(numpy)[0], "it must learn for the comparison to mean anything"
        assert difference.max() < largest
        assert difference.mean() < mean
        assert numpy.validation_loss == pytest.approx(other.validation_loss, abs=largest)

    def test_weight_decay_is_the_same_everywhere(self, long_text: Path) -> None:
        curves = [
            curve(self.train(name, long_text, max_steps=60, precision="float64", weight_decay=decay))
            for name, decay in (("numpy", 1.0), (self.backend, 1.0), ("numpy", 0.0))
        ]
        assert np.abs(curves[0] - curves[1]).max() < 1e-9
        assert np.abs(curves[0] - curves[2]).max() > 1e-3, "it must show for the comparison to mean anything"

    @pytest.mark.parametrize("numpy_first", [True, False], ids=["from NumPy", "to NumPy"])
    def test_a_run_that_changes_its_backend_joins_the_unbroken_curve(
        self, long_text: Path, numpy_first: bool
    ) -> None:
        first, second = ("numpy", self.backend) if numpy_first else (self.backend, "numpy")
        unbroken = self.train(first, long_text, max_steps=120)
        begun = self.train(first, long_text, max_steps=50)
        self.train(second, resume=begun.run, max_steps=90)
        joined = self.train(first, resume=begun.run, max_steps=120)
        assert np.abs(curve(joined) - curve(unbroken)).max() < 1e-4

    @pytest.mark.parametrize("on_numpy", [True, False], ids=["trained on NumPy", "trained on the other"])
    def test_any_backend_scores_and_samples_any_run_alike(self, long_text: Path, on_numpy: bool) -> None:
        result = self.train("numpy" if on_numpy else self.backend, long_text, max_steps=100)
        runs = [
            charkit.load_run(result.run, backend=name, threads=self.threads)
            for name in ("numpy", self.backend)
        ]
        losses = [run.evaluate().loss for run in runs]
        assert losses[0] == pytest.approx(losses[1], abs=2e-5)
        for options in ({"temperature": 0.8}, {"temperature": 0}, {"top_k": 5}, {"top_p": 0.9}):
            texts = [run.sample("The ", length=500, seed=11, count=2, **options) for run in runs]
            assert texts[0] == texts[1], options

    def test_a_bfloat16_run_is_sampled_and_scored_without_the_framework(self, long_text: Path) -> None:
        result = self.train(self.backend, long_text, max_steps=60, precision="bfloat16")
        assert result.validation_loss is not None
        numpy = charkit.load_run(result.run, checkpoint="latest", threads=1)
        assert numpy.model.backend.precision == "float32"
        assert numpy.evaluate().loss == pytest.approx(result.validation_loss, abs=0.02)
        assert len(numpy.sample(length=50, seed=0)[0]) == 50

    def test_bfloat16_starts_on_the_float32_curve_and_learns(self, long_text: Path) -> None:
        """Rounding moves a steep curve by more than any bound that would mean something: so its start is judged."""
        exact, rounded = (
            self.train(self.backend, long_text, max_steps=200, precision=name)
            for name in ("float32", "bfloat16")
        )
        assert 1e-6 < np.abs(curve(exact) - curve(rounded))[:20].max() < 0.005
        assert curve(rounded)[-1] < 0.8 * curve(rounded)[0]
