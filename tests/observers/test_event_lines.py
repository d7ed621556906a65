"""An event that went through a line of JSON is the same event."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from charkit import events
from charkit.observers.event_lines import from_line, to_line

EVENTS: tuple[events.Event, ...] = (
    events.Reading("encoding", 0.1 + 0.2),
    events.Started(
        run=Path("runs/na\u00efve \udce9"),
        backend="numpy",
        precision="float32",
        device="cpu",
        threads=1,
        parameters=3,
        vocabulary_size=2,
        training_symbols=9,
        steps_per_epoch=1,
        total_steps=2,
        step=0,
        best_validation_loss=None,
        notices=("one", "two"),
        settings={"model": {"dropout": 0.1}},
        versions={"numpy": "2"},
    ),
    events.StepMetrics(1, 1, 1 / 3, None, 1e-300, 0.1, 5e9, 2.0),
    events.Advanced(1, 1, 2, None),
    events.SchedulePlanned(1, 2),
    events.Validating(0.5),
    events.Sampled(1, "a\n\u2028\x00\U0001f408", "a"),
    events.Saved(1, Path("runs/a/checkpoints/1"), True),
    events.SaveFailed(2, "full", 1),
    events.Stopping("interrupted"),
    events.WorkerReplaced("lost"),
    events.ObserverMessage("csv", "said", dropped=True),
    events.Ended(2, "max_steps"),
)


def test_every_kind_of_event_is_tried() -> None:
    assert [type(event) for event in EVENTS] == list(get_args(events.Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_it_is_the_same_event(event: events.Event) -> None:
    line = to_line(event)
    assert line.count(b"\n") == 1
    assert from_line(line) == event
