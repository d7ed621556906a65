"""The values of trials: grids in order, draws that depend on seed and number alone, and suggestions by Optuna."""

from __future__ import annotations

import sys
from itertools import product
from math import log10
from statistics import mean
from typing import Any

import pytest

from charkit.errors import ConfigurationError
from charkit_sweep.search import values_of
from charkit_sweep.spec import SweepSpec
from charkit_sweep.spec_reading import spec_from_table
from charkit_sweep.tpe import RANDOM_TRIALS, Observation
from sweep_support import LEARNING_RATES, spec_of


def spec(search: str, axes: dict[str, Any], trials: int | None = None, **changes: Any) -> SweepSpec:
    return spec_from_table(spec_of(None, search=search, axes=axes, trials=trials, halving=None, **changes))


GRID = {"seed": [0, 1], "optimizer.beta1": [0.8, 0.9, 0.95]}


def test_a_grid_is_gone_through_in_order_each_point_once() -> None:
    grid = spec("grid", GRID)
    assert grid.most_trials == 6
    found = [tuple(values_of(grid, number, ()).values()) for number in range(1, 7)]
    assert found == list(product(*GRID.values()))


def test_a_part_of_a_grid_is_drawn_without_repeats_and_more_of_it_begins_with_the_same() -> None:
    part, whole = spec("grid", GRID, 4), spec("grid", GRID, 6)
    drawn = [tuple(values_of(part, number, ()).values()) for number in range(1, 5)]
    assert len(set(drawn)) == 4
    assert drawn != list(product(*GRID.values()))[:4]
    assert [tuple(values_of(whole, number, ()).values()) for number in range(1, 5)] == drawn
    other = spec("grid", GRID, 4, search_seed=1)
    assert [tuple(values_of(other, number, ()).values()) for number in range(1, 5)] != drawn


def test_a_whole_grid_that_has_begun_keeps_its_order_with_fewer_trials_and_with_all_again() -> None:
    whole = spec("grid", GRID)
    wanted = [values_of(whole, number, ()) for number in range(1, 7)]
    fewer = whole.extended(4)
    assert [values_of(fewer, number, ()) for number in range(1, 5)] == wanted[:4]
    assert [values_of(fewer.extended(6), number, ()) for number in range(1, 7)] == wanted
    drawn = spec("grid", GRID, 4)
    assert values_of(drawn.extended(6), 5, ()) == values_of(spec("grid", GRID, 6), 5, ())


def test_draws_follow_from_seed_and_number() -> None:
    axes = {**LEARNING_RATES, "data.vocabulary": ["char", "byte"]}
    first, again, other = (spec("random", axes, 50, search_seed=seed) for seed in (0, 0, 1))
    drawn = [values_of(first, number, ()) for number in range(1, 51)]
    assert [values_of(again, number, ()) for number in range(1, 51)] == drawn
    assert [values_of(other, number, ()) for number in range(1, 51)] != drawn
    assert {values["data.vocabulary"] for values in drawn} == {"char", "byte"}
    assert len({values["optimizer.learning_rate"] for values in drawn}) == 50


AXES = {
    **LEARNING_RATES,
    "model.lstm_size": {"low": 4, "high": 64, "log": True},
    "optimizer.beta1": {"low": 0.8, "high": 0.95, "step": 0.05},
    "data.vocabulary": ["char", "byte"],
}


def observed(search: SweepSpec, count: int) -> list[Observation]:
    """Trials whose loss is lowest at a learning rate of 0.01 and for bytes; some stopped, one diverged, one running."""
    found: list[Observation] = []
    for number in range(1, count + 1):
        values = values_of(search, number, found)
        rate = log10(float(values["optimizer.learning_rate"]))  # type: ignore[arg-type]
        loss = 2 + abs(rate + 2) + (values["data.vocabulary"] == "char")
        if number == 3:
            loss = float("inf")
        is_whole = loss < 4  # the worst were stopped on their way
        found.append(Observation(values, 9 if is_whole else 3, loss, is_whole, is_running=False))
    return found


def tpe() -> SweepSpec:
    pytest.importorskip("optuna")
    return spec_from_table(
        spec_of(None, search="tpe", axes=AXES, trials=60, halving=None, fixed={"training": {"max_steps": 9}})
    )


def test_suggestions_follow_from_what_came_before_and_come_near_the_best() -> None:
    search = tpe()
    trials = observed(search, 40)
    assert values_of(search, 41, trials) == values_of(search, 41, trials)
    assert values_of(search, 41, trials) != values_of(search, 41, trials[:20])
    for trial in trials:
        assert 1e-4 <= trial.values["optimizer.learning_rate"] <= 1e-1  # type: ignore[operator]
        assert trial.values["model.lstm_size"] in range(4, 65)
        assert trial.values["optimizer.beta1"] in (0.8, 0.85, 0.9, 0.95)
    losses = [trial.loss for trial in trials if trial.loss is not None and trial.loss < 100]
    assert mean(losses[-10:]) < mean(losses[:RANDOM_TRIALS]) - 0.3


def test_trials_that_run_or_failed_are_taken_into_account() -> None:
    search = tpe()
    trials = observed(search, 12)
    running = Observation(trials[-1].values, 0, None, is_whole=False, is_running=True)
    failed = Observation(trials[-1].values, 0, None, is_whole=False, is_running=False)
    assert values_of(search, 13, [*trials[:-1], running])
    assert values_of(search, 13, [*trials[:-1], failed])


def test_without_optuna_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    search = spec("tpe", LEARNING_RATES, 3)
    with pytest.raises(
        ConfigurationError, match=r"needs Optuna, which is not installed; run: pip install opt"
    ):
        values_of(search, 1, ())
