"""Where a curve diverges: the first wrong step of a second training is located."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from charkit.config import ModelConfig, RunConfig
from charkit_comparison.agreement import first_wrong_step
from charkit_comparison.agreement.first_wrong_step import Divergence, candidate_steps, find_first_wrong_step
from charkit_comparison.agreement.step_errors import StepError
from charkit_comparison.plan import Plan, Variant


def test_where_the_difference_jumps_is_examined_first() -> None:
    gaps = [1e-8] * 200
    gaps[120:] = [1e-5] * 80
    gaps[-1] = 2e-4
    steps = candidate_steps(gaps, first_step=11)
    assert {11, 12, 130, 131, 209, 210} <= set(steps)
    assert len(steps) < 30
    assert steps == sorted(steps)


def a_plan(folder: Path, steps: int) -> Plan:
    """A plan of so many steps in one round."""
    return Plan(
        RunConfig(model=ModelConfig(vocabulary_size=5)), steps=steps, rounds=1, threads=1, folder=folder
    )


@pytest.mark.parametrize("first", [1, 1001])
@pytest.mark.parametrize("wrong", [1, 2, 77, 163, 200])
def test_the_first_wrong_step_is_found_between_those_examined_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: int, first: int
) -> None:
    """Curves that jump nowhere: the gap between the last right step and a wrong one is bisected, then examined."""
    examined: list[int] = []
    wrong += first - 1

    def examine(_: object, __: object, first: int, steps: Sequence[int], *___: object) -> Divergence:
        right = first - 1
        for count, step in enumerate(steps, start=1):
            examined.append(step)
            if step >= wrong:
                return Divergence(count, right, StepError(step, "the loss", "", "", ""))
            right = step
        return Divergence(len(steps), right, None)

    monkeypatch.setattr(first_wrong_step, "_examine", examine)
    gaps = (1e-7 * 1.04 ** np.arange(200)).tolist()
    found = find_first_wrong_step(Variant("a", "a"), a_plan(tmp_path, 200), first, gaps, lambda *_: None)
    assert found.error is not None
    assert found.error.step == wrong
    assert found.examined == len(examined) < 45


def test_no_wrong_step_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        first_wrong_step, "_examine", lambda *given: Divergence(len(given[3]), given[3][-1], None)
    )
    found = find_first_wrong_step(Variant("a", "a"), a_plan(tmp_path, 9), 1, [1e-7] * 9, lambda *_: None)
    assert (found.examined, found.error) == (9, None)


@pytest.mark.parametrize(("steps", "rounds", "turns"), [(10, 3, [4, 3, 3]), (2, 2, [1, 1]), (7, 1, [7])])
def test_turns_add_up(tmp_path: Path, steps: int, rounds: int, turns: list[int]) -> None:
    config = RunConfig(model=ModelConfig(vocabulary_size=5))
    plan = Plan(config, steps=steps, rounds=rounds, threads=1, folder=tmp_path)
    assert plan.turns() == turns
