"""Successive halving beside training every trial whole: as good a best, with a third of the steps."""

from __future__ import annotations

from pathlib import Path
from statistics import stdev

import pytest

from sweep.conftest import Finished
from sweep_support import FIXED, spec_of, sweep


def test_halving_finds_as_good_a_trial_with_a_third_of_the_steps(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nine of the finished sweep, one after the other, and the spread that seeds make for the best of them."""
    halved, text = finished.result, finished.folder / "small.txt"
    monkeypatch.chdir(tmp_path)
    training = {**FIXED["training"], "eval_every": 2}
    spec = spec_of(text, name="nine", halving=None, fixed={**FIXED, "training": training})
    whole = sweep(spec)
    assert [trial.values for trial in whole.trials] == [trial.values for trial in halved.trials]
    assert whole.steps == 9 * 18
    assert halved.steps <= whole.steps / 3
    assert whole.best is not None
    assert halved.best is not None
    fixed = {
        **FIXED,
        "training": training,
        "optimizer": {"learning_rate": whole.best.values["optimizer.learning_rate"]},
    }
    seeds = sweep(
        spec_of(
            text,
            name="seeds",
            search="grid",
            trials=None,
            halving=None,
            fixed=fixed,
            axes={"seed": [0, 1, 2]},
        )
    )
    losses = [trial.loss for trial in seeds.trials if trial.loss is not None]
    assert len(losses) == 3
    spread = stdev(losses)
    assert spread > 0
    assert (halved.best.loss or 0) <= (whole.best.loss or 0) + spread
    for trial in whole.trials:  # a trial that was promoted to its end is the one that was trained in one go
        if halved.trials[trial.number - 1].status == "finished":
            assert halved.trials[trial.number - 1].loss == trial.loss
