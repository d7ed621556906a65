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
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.settings import settings_from_keywords
from charkit.training.result import TrainResult
from charkit_comparison import ComparisonReport, compare
from charkit_comparison.agreement.rounding_control import excess
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

    def settings(self, **more: Any) -> dict[str, Any]:
        """A small model with dropout, at a learning rate where training amplifies rounding."""
        return {
            **{key: value for key, value in SMALL.items() if key != "recipe"},
            "lstm_size": 24,
            "batch_size": 8,
            "num_steps": 20,
            "dropout": 0.3,
            "log_every": 1,
            "learning_rate": 0.005,
            **more,
        }

    def train(self, backend: str, text: Path | None = None, **options: Any) -> TrainResult:
        """Trains a new run, or resumes one, and reports each step."""
        settings = {} if "resume" in options else {"recipe": "classic", **self.settings()}
        return charkit.train(text, backend=backend, threads=self.threads, **{**settings, **options})

    def compare(
        self, text: Path, *backends: str, steps: int, precision: str = "float32", **more: Any
    ) -> ComparisonReport:
        """What ``toolkit compare`` finds on the same settings."""
        return compare(
            text,
            backends=backends,
            max_steps=steps,
            rounds=1,
            threads=self.threads or 2,
            precisions=(precision,),
            settings=settings_from_keywords(self.settings(**more)),
        )

    @pytest.mark.parametrize(
        ("precision", "more"),
        [("float32", {}), ("float32", {"weight_decay": 0.01}), ("float64", {})],
        ids=["float32", "weight decay", "float64"],
    )
    def test_every_examined_step_is_right_and_the_curves_part_by_rounding_alone(
        self, long_text: Path, precision: str, more: dict[str, Any]
    ) -> None:
        report = self.compare(long_text, "numpy", self.backend, steps=150, precision=precision, **more)
        assert report.agree, report.verdict
        assert [len(one.steps) for one in report.examinations] == [
            one.matching for one in report.examinations
        ]
        assert sum(len(one.steps) for one in report.examinations) >= 12
        (pair,) = report.pairs
        assert pair.steps == 150
        losses = report.variants[0].losses
        assert losses[-1] < 0.8 * losses[0], "it must learn for the comparison to mean anything"

    @pytest.mark.parametrize("numpy_first", [True, False], ids=["from NumPy", "to NumPy"])
    def test_a_run_that_changes_its_backend_joins_the_unbroken_curve(
        self, long_text: Path, numpy_first: bool
    ) -> None:
        """It may leave that curve by no more than rounding explains, which the control of a comparison measures."""
        first, second = ("numpy", self.backend) if numpy_first else (self.backend, "numpy")
        unbroken = self.train(first, long_text, max_steps=120)
        begun = self.train(first, long_text, max_steps=50)
        self.train(second, resume=begun.run, max_steps=90)
        joined = self.train(first, resume=begun.run, max_steps=120)
        (control,) = self.compare(long_text, "numpy", steps=120).controls
        gaps = np.abs(curve(joined) - curve(unbroken))
        assert excess(gaps, np.array(control.band)).max() <= control.factor

    @pytest.mark.parametrize("on_numpy", [True, False], ids=["trained on NumPy", "trained on the other"])
    def test_any_backend_scores_and_samples_any_run_alike(self, long_text: Path, on_numpy: bool) -> None:
        result = self.train("numpy" if on_numpy else self.backend, long_text, max_steps=100)
        runs = [
            charkit.load_run(result.run, backend=name, threads=self.threads)
            for name in ("numpy", self.backend)
        ]
        losses = [run.evaluate().loss for run in runs]
        assert losses[0] == pytest.approx(losses[1], abs=2e-5)
        following = [run.evaluate_dynamically().loss for run in runs]
        assert following[0] == pytest.approx(following[1], abs=1e-4)
        assert following[0] != pytest.approx(losses[0], abs=1e-3)
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
