"""The journal of a sweep: every decision and every result, a line each, in the order in which they came.

It is only ever appended to. What a sweep does next follows from its lines and its settings alone, so that a sweep
which was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from charkit.config import first_problem
from charkit.errors import RunError
from charkit.runs.checkpoint_content import MOST_STEPS
from charkit.runs.files_by_path import sync, to_line, writing
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import parse_json

NAME = "journal.jsonl"
#: Far more than the journal of the largest sweep has.
MOST_BYTES = 64 << 20
_Loss = Annotated[float, Field(ge=0)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    trial: int = Field(ge=1)


class Assigned(_Line):
    """A trial is to be trained up to a level: rung ``level``, counted from 0, or its end behind the last rung.

    ``values`` are its values of the axes, where it is a new trial.
    """

    event: Literal["assigned"] = "assigned"
    level: int = Field(ge=0)
    values: dict[str, Any] | None = None


class Reached(_Line):
    """A trial got where it was to get, or ended before. Losses in nats per symbol, on the validation split.

    ``loss`` is the lowest so far and ``last_loss`` the last one; ``seconds`` is what training it took in all.
    """

    event: Literal["reached"] = "reached"
    step: int = Field(ge=1, le=MOST_STEPS)
    loss: _Loss
    last_loss: _Loss
    ended: bool
    seconds: float = Field(ge=0)


class Failed(_Line):
    """A trial can't be trained further. One that diverged is as bad as can be; another may be tried again."""

    event: Literal["failed"] = "failed"
    reason: str
    diverged: bool


class Retried(_Line):
    """A resumed sweep tries a trial again that had failed, and had not diverged."""

    event: Literal["retried"] = "retried"


class Extended(BaseModel):
    """A resumed sweep got another number of trials."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    event: Literal["extended"] = "extended"
    trials: int = Field(ge=1)


Entry = Assigned | Reached | Failed | Retried | Extended
_ENTRIES: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="event")])


def read_journal(sweep: Path) -> tuple[Entry, ...]:
    """The entries of a sweep's journal; a line that a crash cut short is none. Raises RunError."""
    try:
        with OpenFolder.at(sweep) as folder:
            content = folder.read(NAME, MOST_BYTES)
    except OSError as error:
        raise RunError(
            f"{str(sweep)!r} can't be used, because its {NAME} can't be read: {error.strerror}"
        ) from error
    entries = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError:
            continue
        try:
            entries.append(_ENTRIES.validate_python(record))
        except ValidationError as error:
            raise RunError(
                f"{str(sweep)!r} is damaged: line {number} of its {NAME} was not written by charkit: "
                f"{first_problem(error)}"
            ) from error
    return tuple(entries)


def append(sweep: Path, entries: Iterable[Entry]) -> None:
    """Adds entries to the journal, durably. Raises StorageError."""
    with writing(sweep / NAME):
        with OpenFolder.at(sweep) as folder:
            for entry in entries:
                folder.append(NAME, to_line(entry.model_dump(exclude_none=True)))
        sync(sweep / NAME)
