"""What the oldest release of JAX that the plugin's metadata admits must still do."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.testing import run_checks
from support import SMALL

pytestmark = pytest.mark.jax


def test_the_kit_is_green() -> None:
    results = run_checks("jax")
    assert results
    assert [
        f"{result.name}: {result.got}"
        for result in results
        if result.status not in {"passed", "not declared"}
    ] == []


def test_a_run_is_trained_resumed_and_sampled(text_file: Path) -> None:
    begun = charkit.train(text_file, backend="jax", max_steps=12, dropout=0.2, **SMALL)
    resumed = charkit.train(resume=begun.run, backend="jax", max_steps=20)
    assert resumed.step == 20
    run = charkit.load_run(resumed.run, backend="jax")
    assert len(run.sample(length=30, seed=1)[0]) == 30
