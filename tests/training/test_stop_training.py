"""A handler that ends training: the run is saved, and resumes as one that was never stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import charkit
from charkit import events
from charkit.runs.run import Run
from training_support import bits_of, train


def stopping_at(kind: type[events.Event], seen: list[events.Event]) -> Callable[[events.Event], None]:
    """A handler that collects events, and stops at each of a kind."""

    def handle(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, kind):
            raise charkit.StopTraining

    return handle


@pytest.mark.parametrize(
    ("kind", "last_step"),
    [(events.Started, 1), (events.Advanced, 1), (events.StepMetrics, 4), (events.Validating, 4)],
)
def test_a_handler_stops_after_the_current_step_and_resume_is_exact(
    text_file: Path, kind: type[events.Event], last_step: int
) -> None:
    settings = {"max_steps": 8, "eval_every": 4, "dropout": 0.3}
    whole = train(text_file, run="whole", **settings)
    seen: list[events.Event] = []
    stopped = train(text_file, run="stopped", on_event=stopping_at(kind, seen), **settings)
    assert (stopped.step, stopped.stopped_because) == (last_step, "requested")
    assert Run.open(stopped.run).checkpoint("latest")[0].progress.step == last_step
    assert [event for event in seen if isinstance(event, events.Stopping)] == [events.Stopping("requested")]
    assert seen[-1] == events.Ended(last_step, "requested")
    assert bits_of(train(resume="stopped")) == bits_of(whole)


@pytest.mark.parametrize("kind", [events.Saved, events.Sampled])
def test_a_handler_stops_at_a_save_or_a_sample(text_file: Path, kind: type[events.Event]) -> None:
    settings = {"max_steps": 12, "eval_every": 4, "dropout": 0.3}
    whole = train(text_file, run="whole", **settings)
    seen: list[events.Event] = []
    stopped = train(text_file, run="stopped", on_event=stopping_at(kind, seen), **settings)
    assert stopped.stopped_because == "requested"
    assert 4 <= stopped.step < 12  # a save is written beside the following steps
    assert Run.open(stopped.run).checkpoint("latest")[0].progress.step == stopped.step
    assert [event for event in seen if isinstance(event, events.Stopping)] == [events.Stopping("requested")]
    assert bits_of(train(resume="stopped")) == bits_of(whole)


def test_a_stop_at_the_last_save_is_too_late_to_be_announced(text_file: Path) -> None:
    seen: list[events.Event] = []
    result = train(text_file, run="r", max_steps=4, on_event=stopping_at(events.Saved, seen))
    assert (result.step, result.stopped_because) == (4, "max_steps")
    assert not [event for event in seen if isinstance(event, events.Stopping)]
    assert seen[-1] == events.Ended(4, "max_steps")


def test_a_resumed_run_whose_validation_is_due_can_be_stopped_again(text_file: Path) -> None:
    settings = {"max_steps": 8, "eval_every": 4, "dropout": 0.3}
    whole = train(text_file, run="whole", **settings)
    handler = stopping_at(events.Validating, [])
    first = train(text_file, run="stopped", on_event=handler, **settings)
    assert (first.step, first.stopped_because) == (4, "requested")
    second = train(resume="stopped", on_event=handler)
    assert (second.step, second.stopped_because) == (4, "requested")
    assert bits_of(train(resume="stopped")) == bits_of(whole)


def test_it_propagates_while_the_text_is_read(text_file: Path) -> None:
    with pytest.raises(charkit.StopTraining):
        train(text_file, run="r", on_event=stopping_at(events.Reading, []))
    assert not Path("r").exists()


def test_a_printer_prints_what_a_pipe_gets(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(text_file, run="r", max_steps=4, eval_every=2, on_event=charkit.ProgressPrinter())
    printed, lines = capsys.readouterr()
    assert printed == ""
    assert lines.startswith("r: numpy float32 on cpu")
    assert "\nstep 2/4  epoch 1  loss " in lines
    assert "\nstep 4/4  epoch 1  loss " in lines
    assert f"\nsaved {Path('r', 'checkpoints', '00000004')}" in lines
