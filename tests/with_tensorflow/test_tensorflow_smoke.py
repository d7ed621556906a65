"""A short way through everything; enough to judge a release of TensorFlow, oldest or newest, by this file alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import charkit
from charkit.runs.run import Run
from charkit.testing import run_checks
from support import SMALL

pytestmark = pytest.mark.tensorflow


def test_every_check_of_the_kit_passes() -> None:
    results = run_checks("tensorflow")
    assert len(results) > 50
    assert [result for result in results if result.status not in {"passed", "not declared"}] == []


def test_train_resume_and_sample(text_file: Path) -> None:
    options = {**SMALL, "batch_size": 9, "dropout": 0.3, "backend": "tensorflow", "threads": 1}
    whole = charkit.train(text_file, max_steps=20, **options)
    parts = charkit.train(text_file, max_steps=12, **options)
    charkit.train(resume=parts.run, backend="tensorflow", threads=1, max_steps=20)
    ends = [Run.open(result.run).checkpoint("latest")[0].snapshot.weights for result in (whole, parts)]
    for name, array in ends[0].items():
        np.testing.assert_array_equal(ends[1][name], array)
    runs = [charkit.load_run(parts.run, backend=name, threads=1) for name in ("numpy", "tensorflow")]
    texts = [run.sample("The ", length=100, seed=1) for run in runs]
    assert texts[0] == texts[1]
