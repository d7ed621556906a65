"""The progress of training: a live line on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from charkit import events
from charkit_cli.event_lines import (
    describe_plan,
    describe_save_failure,
    describe_start,
    describe_stopping,
)
from charkit_cli.live_line import LiveLine
from charkit_cli.printable import printable
from charkit_cli.streams import without_long_waits
from charkit_cli.terminal_output import PLAIN_EVERY_SECONDS, duration, print_notices, short, to_log

_log = logging.getLogger(__name__)
#: Columns of the live line's bar, where there is room for it.
BAR_COLUMNS = 16
LEAST_BAR_COLUMNS = 4


def _sample(event: events.Sampled) -> Text:
    """A sample, with its prime text upright, since the model didn't write that."""
    text = Text(printable(event.prime), style="dim")  # as long as it will be, before it is laid out
    return text.append(printable(event.text.removeprefix(event.prime)), style="italic")


#: How far the planned end of a schedule must move, as a share of it, to be printed again.
PLAN_SHARE = 0.1


class Progress(Protocol):
    """Shows the events of training while it is entered."""

    def __enter__(self) -> object:
        """Begins to show."""

    def __exit__(self, *error: object) -> None:
        """Shows no more."""

    def __call__(self, event: events.Event) -> None:
        """Shows an event."""


class PlainProgress:
    """A line for the first report, for each validation, and in between one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed_at = time.monotonic()
        self._reported_at: float | None = None
        self._total_steps: int | None = None
        self._planned: int | None = None
        self._left = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Started():
                self._total_steps = event.total_steps
                for line in describe_start(event):
                    self._print(line)
                print_notices(self._console, event.notices)
            case events.Reading() | events.Validating():
                self._wait(event)
            case events.StepMetrics():
                self._report(event)
            case events.SchedulePlanned():
                self._plan(event)
            case events.Advanced():
                self._total_steps = event.total_steps
                self._left = "" if event.seconds_left is None else f"  {duration(event.seconds_left)} left"
            case events.Sampled():
                after = f", primed with {event.prime!r}" if event.prime else ""
                self._print(f"sample at step {event.step}{after}: {event.text.removeprefix(event.prime)!r}")
            case events.Stopping():
                self._print(describe_stopping(event))
            case events.WorkerReplaced():
                print_notices(self._console, (event.message,))
            case events.ObserverMessage():
                print_notices(self._console, (event.line(),))
            case events.SaveFailed():
                self._print(describe_save_failure(event))
            case events.Saved():
                self._print(f"saved {event.path}" + (" (best)" if event.best else ""))

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_error: object) -> None:
        """There is nothing to restore."""

    def _plan(self, event: events.SchedulePlanned) -> None:
        """Prints the end of the schedule, unless it has hardly moved: the speed varies, and the plan with it."""
        if self._planned is None or abs(event.last_step - self._planned) > PLAN_SHARE * self._planned:
            self._planned = event.last_step
            self._print(describe_plan(event))

    def _report(self, metrics: events.StepMetrics) -> None:
        """Prints the report, unless the last one is a moment ago: a log is read by people."""
        now = time.monotonic()
        waited = self._reported_at is None or now - self._reported_at >= PLAIN_EVERY_SECONDS
        if waited or metrics.validation_loss is not None:
            self._reported_at = now
            self._print(self._line(metrics))

    def _line(self, metrics: events.StepMetrics) -> str:
        total = max(metrics.step, self._total_steps or 0)  # the estimate may be a step too low
        validation = "" if metrics.validation_loss is None else f"  validation {metrics.validation_loss:.4f}"
        per_second = metrics.characters_per_second  # 0 where a session begins with a validation that was due
        speed = f"  {per_second:,.0f} characters/s" if per_second else ""
        return (
            f"step {metrics.step}/{total}  epoch {metrics.epoch}  loss {metrics.loss:.4f}{validation}  "
            f"norm {metrics.gradient_norm:.3f}{speed}{self._left}"
        )

    def _wait(self, event: events.Reading | events.Validating) -> None:
        if time.monotonic() - self._printed_at >= PLAIN_EVERY_SECONDS:
            what = f"{event.stage} the text" if isinstance(event, events.Reading) else "validating"
            self._print(f"{what}: {event.fraction:.0%}")

    def _print(self, line: str) -> None:
        self._printed_at = time.monotonic()
        self._console.print(line, markup=False)


class Line(Protocol):
    """Where the live line is drawn: at the bottom of a terminal, or in an output of a notebook's cell."""

    def __enter__(self) -> object:
        """Begins to draw."""

    def show(self, line: Text) -> None:
        """Replaces the line."""

    def stop(self) -> None:
        """Draws no more."""


class LiveProgress:
    """One live line at the bottom; a lasting line and a sample at each validation above it."""

    def __init__(
        self, console: Console, live: Line | None = None, press_again: str = "press Ctrl-C again"
    ) -> None:
        self._console, self._press_again = console, press_again
        self._live = live or LiveLine(console)
        self._started: events.Started | None = None
        self._metrics: events.StepMetrics | None = None
        self._validation: float | None = None
        self._best = float("inf")

    def __enter__(self) -> LiveProgress:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Started():
                self._start(event)
            case events.Reading():
                self._live.show(Text(f"{event.stage} the text  {event.fraction:.0%}", style="dim"))
            case events.Validating():
                self._live.show(Text(f"validating  {event.fraction:.0%}", style="dim"))
            case events.StepMetrics():
                self._print_validation(event)
            case events.Advanced():
                self._live.show(self._line(event))
            case events.Sampled():
                self._console.print(Padding(_sample(event), (0, 4), expand=False))
            case events.Stopping():
                self._console.print(Text(describe_stopping(event, self._press_again), style="yellow"))
            case events.WorkerReplaced():
                print_notices(self._console, (event.message,))
            case events.ObserverMessage():
                print_notices(self._console, (event.line(),))
            case events.SaveFailed():
                self._console.print(Text(describe_save_failure(event), style="bold red"))
            case events.SchedulePlanned():
                pass  # the live line shows the share that is done
            case events.Saved():
                pass  # the line of a validation shows whether it is the best

    def _start(self, started: events.Started) -> None:
        self._started = started
        if started.best_validation_loss is not None:
            self._best = started.best_validation_loss
        first, *others = describe_start(started)
        self._console.print(Text(first, style="bold"))
        for line in others:
            self._console.print(Text(line))
        print_notices(self._console, started.notices)

    def _print_validation(self, metrics: events.StepMetrics) -> None:
        self._metrics = metrics
        if metrics.validation_loss is None:
            return
        better = metrics.validation_loss < self._best
        self._validation = metrics.validation_loss
        self._best = min(self._best, metrics.validation_loss)
        line = Text(no_wrap=True, overflow="crop")
        line.append(f"epoch {metrics.epoch:>3}  step {metrics.step:>7,}  loss {metrics.loss:.4f}  ")
        line.append(f"validation {metrics.validation_loss:.4f}", style="bold green" if better else "yellow")
        if metrics.characters_per_second:  # none where a session begins with a validation that was due
            line.append(f"  {short(metrics.characters_per_second)} characters/s", style="dim")
        self._console.print(line)

    def _line(self, now: events.Advanced) -> Text:
        share = now.step / now.total_steps
        line = Text(no_wrap=True, overflow="ellipsis")
        columns = self._console.width - len("100% ^C")  # room for what a terminal shows of Ctrl-C
        parts = self._fitting(now, columns)
        room = columns - sum(len(text) + 1 for text, _ in parts)
        bar = min(BAR_COLUMNS, room)
        if bar >= LEAST_BAR_COLUMNS:
            filled = round(bar * share)
            full, empty = ("#", ".") if self._console.options.ascii_only else ("█", "░")
            line.append(full * filled, style="cyan")
            line.append(empty * (bar - filled) + " ", style="dim")
        line.append(f"{share:>4.0%}", style="bold")
        for text, style in parts:
            line.append(f" {text}", style=style)
        return line

    def _fitting(self, now: events.Advanced, columns: int) -> list[tuple[str, str]]:
        """The parts of the line, in order, with their styles; without the least important ones if too long."""
        epochs = -(-now.total_steps // self._started.steps_per_epoch) if self._started else now.epoch
        left = f"{duration(now.seconds_left)} left" if now.seconds_left else ""  # nothing at the end either
        speed = (
            f"{short(self._metrics.characters_per_second)} chars/s"
            if self._metrics and self._metrics.characters_per_second
            else ""
        )
        parts = [
            (2, f"epoch {now.epoch}/{epochs}", "bold"),
            (3, f"step {now.step:,}", "bold"),
            (0, f"loss {self._metrics.loss:.4f}" if self._metrics else "", ""),
            (4, "" if self._validation is None else f"val {self._validation:.4f}", "green"),
            (5, speed, "dim"),
            (1, left, "dim"),
        ]
        parts = [part for part in parts if part[1]]
        while sum(len(text) + 1 for _, text, _ in parts) > columns and len(parts) > 1:
            parts.remove(max(parts))
        return [(text, style) for _, text, style in parts]


class FailSafeProgress:
    """Shows events by another progress until that fails, which is logged once: it must not end the training.

    While training is shown, an output that takes nothing loses text instead of keeping training waiting.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress: Progress | None = progress
        self._stack = ExitStack()

    def __enter__(self) -> FailSafeProgress:
        self._stack.enter_context(without_long_waits())
        self._try(lambda progress: progress.__enter__())
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            self._try(lambda progress: progress.__exit__(*error))

    def __call__(self, event: events.Event) -> None:
        self._try(lambda progress: progress(event))

    def _try(self, action: Callable[[Progress], object]) -> None:
        if self._progress is None:
            return
        try:
            action(self._progress)
        except Exception as error:  # noqa: BLE001 - whatever it is, training is worth more
            self._progress = None
            _log.warning("the progress display failed and is now off: %s: %s", type(error).__name__, error)


def progress_for(console: Console) -> FailSafeProgress:
    """A live line on a terminal, plain lines elsewhere."""
    return FailSafeProgress(LiveProgress(console) if console.is_interactive else PlainProgress(console))


def plain_progress() -> FailSafeProgress:
    """Plain lines to standard error, wherever that leads, for a program that prints on its own, too."""
    return FailSafeProgress(PlainProgress(to_log()))
