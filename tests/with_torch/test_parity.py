"""NumPy and PyTorch: the same curve, the same text, and runs that go from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.run import METRICS, Run
from charkit.training import TrainResult
from support import SMALL, SMALL_TEXT

pytestmark = pytest.mark.torch
BACKENDS = ("numpy", "torch")


@pytest.fixture
def long_text(tmp_path: Path) -> Path:
    path = tmp_path / "long.txt"
    path.write_text(SMALL_TEXT * 20, "utf-8")
    return path


def train(backend: str, text: Path | None = None, **options: Any) -> TrainResult:
    shape = {
        **SMALL,
        "lstm_size": 24,
        "batch_size": 8,
        "num_steps": 20,
        "dropout": 0.3,
        "log_every": 1,
        "learning_rate": 0.001,  # at higher ones training itself amplifies float32 rounding past any bound
    }
    return charkit.train(
        text, backend=backend, threads=1, **({} if "resume" in options else shape), **options
    )


def curve(result: TrainResult) -> Any:
    return np.array([record["loss"] for record in Run.open(result.run).records(METRICS)])


@pytest.mark.parametrize(
    ("precision", "largest", "mean"), [("float32", 1e-4, 1e-5), ("float64", 1e-9, 1e-10)]
)
def test_loss_curves_lie_on_each_other(long_text: Path, precision: str, largest: float, mean: float) -> None:
    numpy, torch = (train(name, long_text, max_steps=200, precision=precision) for name in BACKENDS)
    difference = np.abs(curve(numpy) - curve(torch))
    assert len(difference) == 200
    assert curve(numpy)[-1] < 0.8 * curve(numpy)[0], (
        "the model must learn for the comparison to mean anything"
    )
    assert difference.max() < largest
    assert difference.mean() < mean
    assert numpy.validation_loss == pytest.approx(torch.validation_loss, abs=largest)


@pytest.mark.parametrize("first", BACKENDS)
def test_a_run_that_changes_its_backend_joins_the_unbroken_curve(long_text: Path, first: str) -> None:
    unbroken = train(first, long_text, max_steps=120)
    second = next(name for name in BACKENDS if name != first)
    begun = train(first, long_text, max_steps=50)
    train(second, resume=begun.run, max_steps=90)
    joined = train(first, resume=begun.run, max_steps=120)
    assert np.abs(curve(joined) - curve(unbroken)).max() < 1e-4


@pytest.mark.parametrize("trained_on", BACKENDS)
def test_any_backend_scores_and_samples_any_run_alike(long_text: Path, trained_on: str) -> None:
    result = train(trained_on, long_text, max_steps=100)
    runs = [charkit.load_run(result.run, backend=name, threads=1) for name in BACKENDS]
    losses = [run.evaluate().loss for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=2e-5)
    for options in ({"temperature": 0.8}, {"temperature": 0}, {"top_k": 5}, {"top_p": 0.9}):
        texts = [run.sample("The ", length=500, seed=11, count=2, **options) for run in runs]
        assert texts[0] == texts[1], options


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(
    long_text: Path, threads: int, precision: str
) -> None:
    options = {**SMALL, "dropout": 0.3, "backend": "torch", "threads": threads, "precision": precision}
    unbroken = charkit.train(long_text, max_steps=30, **options)
    first = charkit.train(long_text, max_steps=17, **options)
    charkit.train(resume=first.run, backend="torch", threads=threads, max_steps=30)
    whole, joined = (Run.open(result.run).checkpoint("latest")[0].weights for result in (unbroken, first))
    for name, array in whole.items():
        assert np.array_equal(array, joined[name]), name


def test_a_bfloat16_run_is_sampled_and_scored_without_the_framework(long_text: Path) -> None:
    result = train("torch", long_text, max_steps=60, precision="bfloat16")
    assert result.validation_loss is not None
    numpy = charkit.load_run(result.run, checkpoint="latest", threads=1)
    assert numpy.model.backend.precision == "float32"
    assert numpy.evaluate().loss == pytest.approx(result.validation_loss, abs=0.02)
    assert len(numpy.sample(length=50, seed=0)[0]) == 50


def test_bfloat16_starts_on_the_float32_curve_and_learns(long_text: Path) -> None:
    """Rounding moves a steep curve by more than any bound that would mean something: so its start is judged."""
    exact, rounded = (
        train("torch", long_text, max_steps=200, precision=name) for name in ("float32", "bfloat16")
    )
    assert 1e-6 < np.abs(curve(exact) - curve(rounded))[:20].max() < 0.005
    assert curve(rounded)[-1] < 0.8 * curve(rounded)[0]
