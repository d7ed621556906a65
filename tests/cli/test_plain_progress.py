"""Progress in a pipe: reports by time, whatever ``log_every`` is, and each sample once."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from charkit import events
from charkit_cli import progress
from charkit_cli.progress import PlainProgress
from charkit_cli.terminal_output import PLAIN_EVERY_SECONDS, PrintableConsole


class Clock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def report(step: int, validation_loss: float | None = None) -> events.StepMetrics:
    return events.StepMetrics(
        step=step, epoch=1, loss=2.0, validation_loss=validation_loss, learning_rate=0.001, gradient_norm=0.5,
        characters_per_second=1000.0, elapsed_seconds=1.0,
    )  # fmt: skip


def test_reports_come_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    shown = PlainProgress(PrintableConsole(file=io.StringIO(), width=200))
    for step in range(10, 1010, 10):
        clock.now += PLAIN_EVERY_SECONDS / 10
        shown(report(step, 1.5 if step == 130 else None))
    text = shown._console.file.getvalue()  # type: ignore[attr-defined]
    steps = [int(line.split()[1].partition("/")[0]) for line in text.splitlines()]
    assert steps == [10, 110, 130, *range(230, 1001, 100)]


def test_a_planned_end_that_hardly_moves_is_printed_once() -> None:
    shown = PlainProgress(PrintableConsole(file=io.StringIO(), width=200))
    for last in (1000, 1050, 930, 1101, 1200, 1210):
        shown(events.SchedulePlanned(10, last))
    text = shown._console.file.getvalue()  # type: ignore[attr-defined]
    assert [int(line.split()[5].strip(",").replace(",", "")) for line in text.splitlines()] == [1000, 1101]


def test_the_first_line_of_a_session_has_no_speed_before_its_first_step() -> None:
    """A resumed run may begin with the validation that was due when it stopped."""
    shown = PlainProgress(PrintableConsole(file=io.StringIO(), width=200))
    shown(replace(report(6, 1.5), characters_per_second=0.0))
    text = shown._console.file.getvalue()  # type: ignore[attr-defined]
    assert text == "step 6/6  epoch 1  loss 2.0000  validation 1.5000  norm 0.500\n"
