"""``charkit.reproduce`` on a run that was stopped; tests/cli/test_recipes.py has what people see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit import events, reproduction
from recipe_support import SETTINGS, write_measured


def stop_at_step_2(event: events.Event) -> None:
    if isinstance(event, events.Advanced) and event.step == 2:
        raise charkit.StopTraining


@pytest.fixture
def recipe(text_file: Path) -> str:
    Path("mine.toml").write_text(SETTINGS)
    loss = charkit.train(text_file, recipe="mine.toml", threads=1, run="measured").load().evaluate().loss
    write_measured(text_file, [loss, loss + 0.01])
    return "mine.toml"


def test_a_run_that_a_handler_stopped_has_no_results_until_it_is_finished(
    text_file: Path, recipe: str
) -> None:
    stopped = charkit.reproduce(recipe, text_file, run="r", threads=1, on_event=stop_at_step_2)
    assert stopped.training is not None
    assert (stopped.training.stopped_because, stopped.results) == ("requested", ())
    finished = charkit.reproduce(recipe, resume="r", threads=1)
    assert finished.training is not None
    assert (finished.training.step, finished.reproduced) == (6, True)


def test_a_resumed_run_is_evaluated_on_the_backend_that_trained_it(
    text_file: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = charkit.train(text_file, recipe=recipe, run="r", threads=1, on_event=stop_at_step_2).run
    used: list[Any] = []
    loading = reproduction.load_run

    def load_run(*arguments: Any, backend: str, **chosen: Any) -> charkit.LoadedRun:
        used.append(backend)
        return loading(*arguments, backend="numpy", **chosen)

    def train_on(path: Path, *_: Any, backend: str, **chosen: Any) -> None:
        used.append(backend)

    monkeypatch.setattr(reproduction, "load_run", load_run)
    monkeypatch.setattr(reproduction, "_train_on", train_on)
    monkeypatch.setattr(reproduction, "backend_of_last_session", lambda path: f"last of {path}")
    charkit.reproduce(recipe, resume=run, threads=1)
    assert used == [f"last of {run}"] * 2
