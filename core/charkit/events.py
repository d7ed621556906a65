"""The events of training, passed to event handlers; the command line displays them.

    def show(event):
        if isinstance(event, charkit.events.StepMetrics):  # the losses, every ``log_every`` steps
            print(event.step, event.loss, event.validation_loss)

    charkit.train("anna.txt", on_event=show)

Reading and Started come first, Advanced after each step, and Ended at the end.

A handler that raises ``charkit.StopTraining`` ends training after the current step, with a save. Any other exception
ends it without another save; the run is left at its last checkpoint. If one is being written at that moment, it is
completed, and the handler still gets its ``Saved``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: Why training stops early: a signal, or what a handler asked for.
SignalReason = Literal["interrupted", "terminated", "hung_up"]
Interruption = Literal[SignalReason, "requested"]


class StopTraining(Exception):  # noqa: N818 - no error: what a handler asks for, as StopIteration is
    """Raised by an event handler to end training: the run is saved, and ``train`` returns its result.

        def stop_early(event):
            if isinstance(event, charkit.events.StepMetrics) and event.loss < 1.5:
                raise charkit.StopTraining

        charkit.train("anna.txt", on_event=stop_early).stopped_because  # "requested"

    While the text is still being read (``Reading``), there is nothing to save, and the exception propagates. In
    response to ``Stopping`` or ``Ended``, when training is ending already, it has no effect.
    """


@dataclass(frozen=True)
class Reading:
    """The text is being read; ``stage`` is "reading" or "encoding", and ``fraction`` is the completed fraction."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Started:
    """Training is about to take the first step of this session.

    ``notices`` are lines that the user should read: changes made to the text, and differences from the last session.
    ``settings`` are those of this session, by section, with only the names of the text's files; ``session`` is its
    number, from 1, and ``versions`` are those of the libraries that determine its last bits.
    """

    run: Path
    backend: str
    precision: str
    device: str
    threads: int
    parameters: int
    vocabulary_size: int
    training_symbols: int
    steps_per_epoch: int
    total_steps: int
    step: int
    best_validation_loss: float | None
    notices: tuple[str, ...]
    time_limit_seconds: float | None = None
    session: int = 1
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    #: The files of the text, without the secrets of URLs; none where it is no file.
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepMetrics:
    """One line of ``metrics.jsonl``. Losses are in nats per symbol; ``loss`` is the mean since the last such event."""

    step: int
    epoch: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    elapsed_seconds: float


@dataclass(frozen=True)
class Advanced:
    """A step was taken; ``seconds_left`` is an estimate, None before there is one.

    ``total_steps`` is the last step of the run, or the last one that the time limit allows, as far as known.
    """

    step: int
    epoch: int
    total_steps: int
    seconds_left: float | None


@dataclass(frozen=True)
class SchedulePlanned:
    """The time limit allows steps up to ``last_step``, and the schedule now ends there."""

    step: int
    last_step: int


@dataclass(frozen=True)
class Validating:
    """The validation split is being scored; ``fraction`` is the completed fraction."""

    fraction: float


@dataclass(frozen=True)
class Sampled:
    """The sample drawn at a validation: ``text`` begins with its prime text, ``prime``.

    ``toolkit sample`` draws it again from that step's checkpoint, with the same prime text, temperature, seed and
    length.
    """

    step: int
    text: str
    prime: str = ""
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Saved:
    """A checkpoint was completely written; ``best`` is true if its validation loss is the lowest of all.

    Checkpoints are written while training continues, so this event may come after those of later steps than ``step``.
    """

    step: int
    path: Path
    best: bool


@dataclass(frozen=True)
class SaveFailed:
    """A checkpoint or a line of a report could not be written, and training continues (``on_save_error="continue"``).

    ``message`` says what failed and why. All steps after ``saved_step`` would be lost if training ended now.
    """

    step: int
    message: str
    saved_step: int


@dataclass(frozen=True)
class Stopping:
    """A signal or a handler requested a stop: training stops after the current step, with a save.

    A validation that has begun is abandoned, and a resumed run repeats it.
    """

    reason: Interruption


@dataclass(frozen=True)
class WorkerReplaced:
    """A worker was lost and replaced, with the same results; ``message`` says why, in one line."""

    message: str


@dataclass(frozen=True)
class ObserverMessage:
    """An observer's line for the user. ``dropped`` means that it failed and gets no more events, while training
    continues.
    """

    observer: str
    message: str
    dropped: bool = False

    def line(self) -> str:
        """What the user reads: the message, and if the observer was dropped, that training continues."""
        if not self.dropped:
            return f"{self.observer}: {self.message}"
        name = f"observer {self.observer!r}"
        reason = self.message.replace(f"{name} ", "it ", 1)
        return f"{name} was dropped: {reason}; training is not affected"


@dataclass(frozen=True)
class Ended:
    """The session has ended at a step. It is the last event.

    ``reason`` is as in ``TrainResult.stopped_because``, or "failed" if an error ended the session, described in
    ``message`` in one line. The event handler of ``train`` gets no event for an error: the caller gets the error
    itself.
    """

    step: int
    reason: str
    message: str = ""


Event = (
    Reading
    | Started
    | StepMetrics
    | Advanced
    | SchedulePlanned
    | Validating
    | Sampled
    | Saved
    | SaveFailed
    | Stopping
    | WorkerReplaced
    | ObserverMessage
    | Ended
)
EventHandler = Callable[[Event], None]
