"""The events of training, which an event handler is called with: the command line draws them.

An exception that a handler raises ends training as it is; the run stays as its last checkpoint left it.
One that is being written at that moment is waited for, and the handler gets its ``Saved`` still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Interruption = Literal["interrupted", "terminated", "hung_up"]


@dataclass(frozen=True)
class Reading:
    """The text is being read; ``stage`` is "reading" or "encoding", ``fraction`` of it is done."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Started:
    """Training is about to take the first step of this session.

    ``notices`` are lines that the user should read: what was done to the text, and what differs from the last session.
    ``settings`` are those of this session, by section, with the text's files by their names alone; ``session`` is its
    number, from 1, and ``versions`` are those of the libraries that decide its last bits.
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
    """One line of ``metrics.jsonl``. Losses in nats per symbol; ``loss`` is the mean since the last such event."""

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

    ``total_steps`` is the last step of the run, or the last for which a time limit leaves time, as far as is known.
    """

    step: int
    epoch: int
    total_steps: int
    seconds_left: float | None


@dataclass(frozen=True)
class SchedulePlanned:
    """The time limit leaves time for the steps up to ``last_step``, and the schedule now ends there."""

    step: int
    last_step: int


@dataclass(frozen=True)
class Validating:
    """The validation split is being scored; ``fraction`` of it is done."""

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
    """A checkpoint was written and is whole; ``best`` if its validation loss is the lowest so far.

    It is written while training goes on, so that the event may come after those of later steps than ``step``.
    """

    step: int
    path: Path
    best: bool


@dataclass(frozen=True)
class SaveFailed:
    """A checkpoint or a line of a report could not be written, and training goes on (``on_save_error="continue"``).

    ``message`` says what and why. All steps after ``saved_step`` would be lost if training ended now.
    """

    step: int
    message: str
    saved_step: int


@dataclass(frozen=True)
class Stopping:
    """A signal requests that training stop: it will, and save, after the step and the validation in hand."""

    reason: Interruption


@dataclass(frozen=True)
class WorkerReplaced:
    """A worker was lost and another took its place, with the same results; ``message`` says why, in a line."""

    message: str


@dataclass(frozen=True)
class ObserverMessage:
    """An observer has a line for the user; ``dropped``: it failed, and gets no more events, and training goes on."""

    observer: str
    message: str
    dropped: bool = False


@dataclass(frozen=True)
class Ended:
    """The session has ended at a step. It is the last event.

    ``reason`` is as in ``TrainResult.stopped_because``, or "failed" where an error ended it, which ``message`` says in
    a line. An event handler of ``train`` gets no event of an error: the caller gets the error itself.
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
