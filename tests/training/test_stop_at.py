"""A session that stops at a step: the run goes on from there as one that never stopped, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit import events
from charkit.errors import ConfigurationError
from charkit.runs.records import METRICS, SAMPLES, SCHEDULE
from charkit.runs.run import Run
from support import SMALL
from training_support import bits_of, train

#: A schedule that would change if it ended with a session; validations at each step where a session stops.
WHOLE: dict[str, Any] = {
    "max_steps": 36,
    "epochs": None,
    "eval_every": 4,
    "schedule": "cosine",
    "warmup_steps": 3,
    "dropout": 0.3,
    "learning_rate": 0.01,
}
#: What a resumed session must report as the unbroken one did; speeds and times differ.
REPORTED = ("step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm")


def lines(run: Path, name: str, keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(record[key] for key in keys) for record in Run.open(run).records(name)]


def test_a_run_that_stopped_twice_has_the_bits_and_reports_of_one_that_did_not(text_file: Path) -> None:
    whole = train(text_file, run="whole", **WHOLE)
    first = train(text_file, run="stopped", stop_at=4, **WHOLE)
    assert (first.step, first.stopped_because) == (4, "stop_at")
    assert first.validation_loss is not None
    second = train(resume="stopped", stop_at=12)
    assert (second.step, second.stopped_because) == (12, "stop_at")
    last = train(resume="stopped")
    assert (last.step, last.stopped_because) == (36, "max_steps")
    assert bits_of(last) == bits_of(whole)
    for name, keys in ((METRICS, REPORTED), (SAMPLES, ("step", "sample")), (SCHEDULE, ("step",))):
        assert lines(last.run, name, keys) == lines(whole.run, name, keys), name
    assert Run.open(last.run).config.training == Run.open(whole.run).config.training


def test_a_stopped_session_says_how_far_it_goes_and_how_long_the_run_is(text_file: Path) -> None:
    seen: list[events.Event] = []
    train(text_file, stop_at=8, on_event=seen.append, **WHOLE)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert started.total_steps == 36
    assert [event.total_steps for event in seen if isinstance(event, events.Advanced)] == [8] * 8


def test_a_step_beyond_the_end_changes_nothing(text_file: Path) -> None:
    assert train(text_file, stop_at=37, **WHOLE).stopped_because == "max_steps"
    assert train(text_file, stop_at=36, **WHOLE).stopped_because == "max_steps"


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        (0, "at least 1"),
        (-3, "at least 1"),
        (10**12 + 1, "at most 10{12}"),
        ("3", "an integer"),
        (3.0, "an integer"),
    ],
)
def test_a_step_that_is_none_is_refused(step: Any, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`stop_at` must be {allowed}; given {step!r}"):
        charkit.train(string="abc" * 100, stop_at=step, **SMALL)
    assert not Path("runs").exists()


def test_a_step_that_is_past_is_refused_and_changes_nothing(text_file: Path) -> None:
    run = train(text_file, stop_at=8, **WHOLE).run
    before = {path: path.read_bytes() for path in run.rglob("*.jsonl")}
    with pytest.raises(ConfigurationError, match="is at step 8, so it can't stop at step 8; give a later"):
        train(resume=run, stop_at=8)
    assert {path: path.read_bytes() for path in run.rglob("*.jsonl")} == before
