"""What the progress of training prints about an event, in one line or a few."""

from __future__ import annotations

from charkit import events
from charkit.errors import counted
from charkit.training.interrupts import IN_WORDS
from charkit_cli.message_translation import translate
from charkit_cli.terminal_output import duration


def describe_start(started: events.Started) -> tuple[str, ...]:
    """The run and its backend, the size of the model, and how much there is to do."""
    threads = counted(started.threads, "thread")
    limit = started.time_limit_seconds
    at_most, within = ("", "") if limit is None else ("at most ", f" within {duration(limit)}")
    at = f", from step {started.step:,}" if started.step else ""
    return (
        f"{started.run}: {started.backend} {started.precision} on {started.device}, {threads}{at}",
        f"{started.parameters:,} parameters, {started.vocabulary_size:,} symbols",
        f"{counted(started.training_symbols, 'symbol')} to train on, {at_most}{counted(started.total_steps, 'step')} "
        f"({started.steps_per_epoch:,} per epoch){within}",
    )


def describe_plan(event: events.SchedulePlanned) -> str:
    """Where the schedule ends, since the time limit leaves time for no more or for more steps than was planned."""
    return f"the schedule ends at step {event.last_step:,}, the last one that the time limit allows"


def describe_stopping(event: events.Stopping, press_again: str = "press Ctrl-C again") -> str:
    """What happens after a signal that requests training to stop."""
    second = f"; {press_again} to quit without saving" if event.reason == "interrupted" else ""
    return f"{IN_WORDS[event.reason]}: stopping once everything is saved{second}"


def describe_save_failure(event: events.SaveFailed) -> str:
    """What could not be written, and which steps would be lost; shown each time, so that it can't be missed."""
    return (
        f"error: {translate(event.message)}; training continues, but nothing after step {event.saved_step:,} is saved "
        "until a save succeeds"
    )
