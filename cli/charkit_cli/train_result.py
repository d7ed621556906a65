"""How training ended: the result on the terminal or as JSON, the command to type next, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from charkit.system.command_lines import joined, quoted_path
from charkit.training.interrupts import IN_WORDS, INTERRUPTIONS
from charkit.training.result import TrainResult
from charkit_cli import streams
from charkit_cli.printable import printable

EXIT_STATUS: dict[str, int] = {reason: 128 + number for number, reason in INTERRUPTIONS.items()}
_REASONS = {
    "epochs": "all epochs are done",
    "max_steps": "all steps are done",
    "time_limit": "--time-limit was reached",
    "stop_at": "--stop-at was reached; the run is saved",
    "patience": "the validation loss stopped improving",
    "interrupted": "interrupted; the run is saved",
    "terminated": "received SIGTERM; the run is saved",
    "hung_up": "the terminal was closed; the run is saved",
    "requested": "an event handler ended training; the run is saved",
}
#: How much the validation loss rises in the second half of a run that overfits, in nats per symbol.
RISEN_NATS = 0.05
#: The end of a session without a limit of its own, in place of "time_limit".
PLANNED_END = "its schedule, planned for an earlier --time-limit, has ended"


@dataclass
class SavedRun:
    """What is known to be saved of the run that is being trained; without a path as long as there is none."""

    path: Path | None = None
    step: int = 0

    def print_after_quitting(self, console: Console) -> None:
        """What remains of the run after it was interrupted a second time, and how to continue."""
        if self.path is not None:
            console.print(
                f"{self.path} is saved up to step {self.step:,}; later steps are lost", markup=False
            )
            console.print(f"next: {joined(['toolkit', 'train', '--resume', str(self.path)])}", markup=False)


def status_of_training(
    result: TrainResult, print_result: Callable[[], None], *, is_data: bool, done: int = 0
) -> int:
    """Prints the result, and returns the exit status: that of the signal that ended training, or else ``done``.

    The run is saved by now, so that a result which can't be printed fails the command only where it is data.
    """
    status = EXIT_STATUS.get(result.stopped_because, done)
    try:
        print_result()
        streams.results().flush()
    except BrokenPipeError:  # the reader has gone, and the run is what matters
        streams.discard(streams.results())
    except OSError as error:
        streams.discard(streams.results())
        line = f"{result.run} is saved, but the result could not be printed: {error.strerror}"
        print(f"{'error' if is_data else 'note'}: {printable(line)}", file=sys.stderr)
        return 2 if is_data and not status else status
    return status


def result_as_json(result: TrainResult) -> dict[str, Any]:
    """The result as ``toolkit train --json`` prints it."""
    return {
        "run": str(result.run),
        "step": result.step,
        "epoch": result.epoch,
        "loss": result.loss,
        "validation_loss": result.validation_loss,
        "best_validation_loss": result.best_validation_loss,
        "characters_per_second": result.characters_per_second,
        "stopped_because": result.stopped_because,
    }


def resuming_options(
    chosen: Mapping[str, str | int | None], *, mixed_machines: bool, track: Sequence[str]
) -> list[str]:
    """The options that compute and follow the run in the same way again, which it does not record as its own."""
    words = [
        word for name, value in chosen.items() if value is not None for word in (f"--{name}", str(value))
    ]
    words += ["--mixed-machines"] if mixed_machines else []
    return words + [word for name in track for word in ("--track", name)]


def print_train_result(
    console: Console, result: TrainResult, resuming: Sequence[str], reason: str | None = None
) -> None:
    """How training ended, and the command to type next; progress has shown the last sample.

    ``resuming`` is what a command to resume needs beside the run; ``reason`` takes the place of the usual words.
    """
    losses = [
        ("loss", result.loss),
        ("validation", result.validation_loss),
        ("best", result.best_validation_loss),
    ]
    known = ", ".join(f"{name} {loss:.4f}" for name, loss in losses if loss is not None)
    run = str(result.run)
    goes_on = result.stopped_because in (*IN_WORDS, "stop_at")
    sample, resume = (
        f"toolkit sample {quoted_path(result.run)}",
        ["toolkit", "train", "--resume", run, *resuming],
    )
    ended = f"{'stopped' if goes_on else 'finished'} at step {result.step:,}, epoch {result.epoch}"
    for line in (
        f"{run} {ended}: {reason or _REASONS[result.stopped_because]}",
        f"{known or 'too few steps to report a loss'}; {result.characters_per_second:,.0f} characters/s",
        *_overfitting(result),
    ):
        console.print(line, markup=False)
    following = joined(resume) if goes_on else sample
    console.print(f"next: {following}", markup=False, soft_wrap=True)  # in one line, to be pasted


def _overfitting(result: TrainResult) -> tuple[str, ...]:
    """A line about a validation loss that has risen since its lowest value, in the first half of the run."""
    scored = [
        (report.validation_loss, report.step)
        for report in result.history
        if report.validation_loss is not None
    ]
    if not scored or result.stopped_because == "patience":  # which has been said, and was for this
        return ()
    lowest, step = min(scored)
    if step > result.step / 2 or scored[-1][0] - lowest < RISEN_NATS:
        return ()
    return (
        f"the validation loss was lowest at step {step:,}, the checkpoint that commands use by default, and has "
        "risen since: the model overfits; try more text, --dropout or --patience",
    )
