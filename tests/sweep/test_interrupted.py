"""A sweep that was stopped: how far its trials are, how long the rest takes, and whether any is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit_sweep import scheduler
from page_support import ParsedPage
from sweep_support import FIXED, decisions, spec_of, sweep

REACHED = {"loss": 1.0, "last_loss": 1.0, "seconds": 1.0, "ended": True}
Reports = list[dict[str, Any]]


class FakeProcess:
    """Trains nothing: each of its trials reports what it was given."""

    def __init__(self, reports: Callable[[FakeProcess], Reports]) -> None:
        self.backend, self.was_stopped = "numpy", False
        self._reports, self._given = reports, 0
        self._output, self._input = os.pipe()

    def begin(self, _request: Mapping[str, Any]) -> None:
        os.write(self._input, b"x")
        self._given = 0

    def fileno(self) -> int:
        return self._output

    def read(self) -> Iterator[dict[str, Any]]:
        reports = self._reports(self)[self._given :]
        self._given += len(reports)
        yield from reports

    def stop(self) -> None:
        self.was_stopped = True

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        for handle in (self._output, self._input):
            os.close(handle)


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[FakeProcess], Reports]], None]:
    """Makes the trials of a sweep report what a function says."""

    def use(reports: Callable[[FakeProcess], Reports]) -> None:
        monkeypatch.setattr(scheduler, "SessionProcess", lambda _backend: FakeProcess(reports))

    return use


def page_of(result: charkit.SweepResult) -> str:
    return ParsedPage((result.folder / "report.html").read_text("utf-8")).text


# ---- how far its trials are -------------------------------------------------------------------------------


def test_trials_that_were_interrupted_have_the_steps_and_the_losses_of_their_runs(text_file: Path) -> None:
    def stop(event: charkit.SweepProgress) -> None:
        path = Path("sweeps/small/trial-001")
        records = Run.open(path).records(METRICS) if (path / METRICS).exists() else []
        if event.what == "advanced" and sum(one["validation_loss"] is not None for one in records) >= 2:
            os.kill(os.getpid(), signal.SIGTERM)

    fixed = {**FIXED, "training": {"max_steps": 20_000, "sample_length": 0, "eval_every": 50}}
    spec = spec_of(text_file, trials=2, halving=None, fixed=fixed)
    first = sweep(spec, on_event=stop)
    (trial,) = first.trials
    losses = [
        one["validation_loss"] for one in Run.open(trial.run).records(METRICS) if one["validation_loss"]
    ]
    assert (first.stopped_because, trial.status) == ("terminated", "interrupted")
    assert (trial.loss, trial.last_loss) == (min(losses), losses[-1])
    assert trial.step == Run.open(trial.run).checkpoint("latest")[0].progress.step
    assert trial.seconds > 0
    assert (first.best, "--learning-rate" in first.command) == (trial, True)
    assert f"Trial 1: {trial.loss:.4f} nats per symbol" in page_of(first)

    def stop_at_once(event: charkit.SweepProgress) -> None:
        if event.what == "begun":
            os.kill(os.getpid(), signal.SIGTERM)

    before = decisions(first.folder)
    again = sweep(resume=True, on_event=stop_at_once)
    assert again.trials == first.trials
    assert decisions(first.folder) == before


def test_trials_that_were_not_validated_have_their_steps_and_no_loss(text_file: Path) -> None:
    def stop(event: charkit.SweepProgress) -> None:
        if event.what == "advanced":
            os.kill(os.getpid(), signal.SIGTERM)

    fixed = {**FIXED, "training": {"max_steps": 20_000, "sample_length": 0, "eval_every": 20_000}}
    result = sweep(spec_of(text_file, trials=1, halving=None, fixed=fixed), on_event=stop)
    (trial,) = result.trials
    assert trial.step > 0
    assert (trial.loss, trial.last_loss, result.best, result.command) == (None, None, None, "")
    assert "No trial has a loss to compare." in page_of(result)


# ---- how long the rest takes ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_whole", [False, True])
def test_steps_of_an_earlier_session_do_not_count_as_made_in_this_one(
    text_file: Path, reporting: Any, is_whole: bool
) -> None:
    """At step 900 of the first of two trials. In the second case all of it was trained, and the sweep was killed."""
    spec = spec_of(text_file, trials=2, halving=None, fixed={**FIXED, "training": {"max_steps": 1_000}})

    def fail(event: charkit.SweepProgress) -> None:
        if event.what == "started":
            raise KeyboardInterrupt

    reporting(lambda _: [])
    with pytest.raises(KeyboardInterrupt):
        sweep(spec, on_event=fail)

    resumed: Reports = [
        {"started": 900, "total_steps": 1_000},
        {"step": 901, "loss": 1.0},
        {"reached": 1_000, **REACHED},
    ]
    following: Reports = [
        {"started": 0, "total_steps": 1_000},
        {"step": 1, "loss": 1.0},
        {"reached": 1_000, **REACHED},
    ]
    sessions = iter([resumed[2:] if is_whole else resumed, following])
    events: list[tuple[float, charkit.SweepProgress]] = []
    reporting(lambda _: next(sessions))
    sweep(resume=True, on_event=lambda event: events.append((time.monotonic(), event)))
    began = events[0][0]
    elapsed, seconds_left = next(
        (moment - began, event.seconds_left) for moment, event in events if event.what == "advanced"
    )
    assert seconds_left is not None
    assert seconds_left > 500 * elapsed  # which one step took; 1,099 or 999 are left


# ---- whether any is left ----------------------------------------------------------------------------------


def stopping(how: str) -> tuple[dict[str, Any], Callable[[charkit.SweepProgress], None]]:
    """A time limit, and what makes that or a signal come while the first trial is in hand."""

    def act(event: charkit.SweepProgress) -> None:
        if event.what != "started":
            return
        if how == "time_limit":
            time.sleep(0.2)
        else:
            os.kill(os.getpid(), signal.SIGINT)

    return {"time_limit": "0.2s"} if how == "time_limit" else {}, act


@pytest.mark.parametrize("how", ["time_limit", "interrupted"])
def test_a_sweep_whose_last_trial_finishes_after_it_was_stopped_is_done(
    text_file: Path, reporting: Any, how: str
) -> None:
    reporting(lambda process: [{"reached": 18, **REACHED}] if process.was_stopped else [])
    limit, act = stopping(how)
    events: list[str] = []

    def note(event: charkit.SweepProgress) -> None:
        events.append(event.what)
        act(event)

    result = sweep(spec_of(text_file, trials=1, halving=None), on_event=note, **limit)
    assert events == ["begun", "started", "stopping", "finished"]
    assert result.stopped_because == "done"
    assert "Unfinished" not in page_of(result)


@pytest.mark.parametrize("how", ["time_limit", "interrupted"])
@pytest.mark.parametrize(("trials", "outcome"), [(1, {"interrupted": 9}), (2, {"reached": 18, **REACHED})])
def test_a_sweep_that_was_stopped_before_its_last_trial_finished_is_not(
    text_file: Path, reporting: Any, how: str, trials: int, outcome: dict[str, Any]
) -> None:
    reporting(lambda process: [outcome] if process.was_stopped else [])
    limit, act = stopping(how)
    result = sweep(spec_of(text_file, trials=trials, halving=None), on_event=act, **limit)
    assert (len(result.trials), result.stopped_because) == (1, how)
    assert "Unfinished. To continue, run: toolkit sweep --resume small" in page_of(result)


def test_a_trial_that_may_be_promoted_is_left_to_do(text_file: Path, reporting: Any) -> None:
    reporting(lambda process: [{"reached": 2, **REACHED, "ended": False}] if process.was_stopped else [])
    _, act = stopping("interrupted")
    result = sweep(spec_of(text_file, trials=1), on_event=act)
    assert [trial.status for trial in result.trials] == ["stopped"]
    assert result.stopped_because == "interrupted"
