"""The lines that a run keeps of its training, in ``metrics.jsonl``, ``samples.jsonl`` and two more.

They are appended to while training goes on, so a crash may cut the last one short, and no manifest has their hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.checkpoint_content import MOST_STEPS
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import parse_json

METRICS, SAMPLES, SESSIONS = "metrics.jsonl", "samples.jsonl", "sessions.jsonl"
#: The plans of a schedule that ends with the time limit.
SCHEDULE = "schedule.jsonl"
#: What is read at once of a line that is too long.
_PIECE_BYTES = 1 << 20


class _Line(BaseModel):
    """What all lines have. Keys that a later charkit adds are no mistake."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    step: int = Field(ge=0, le=MOST_STEPS)


class _Metrics(_Line):
    epoch: int = Field(ge=1, le=MOST_STEPS)
    loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    characters_per_second: float
    elapsed_seconds: float


class _Sample(_Line):
    epoch: int = Field(ge=1, le=MOST_STEPS)
    sample: str
    prime: str = ""  # this and what follows is not in the lines of charkit 0.1
    temperature: float = 1.0
    seed: int = 0


class _Plan(_Line):
    from_step: int = Field(ge=0, le=MOST_STEPS)
    fraction: float = Field(ge=0, le=1)
    last_step: int = Field(ge=0, le=MOST_STEPS)
    elapsed_seconds: float


class _Session(_Line):
    started: str
    command: str
    backend: str
    precision: str
    device: str
    threads: int
    processor: str
    versions: dict[str, str]
    text_sha256: str
    symbols: int | None = Field(default=None, ge=0)  # not in the lines of charkit 0.1


_LINES: dict[str, type[_Line]] = {METRICS: _Metrics, SAMPLES: _Sample, SCHEDULE: _Plan, SESSIONS: _Session}


@dataclass(frozen=True)
class Line:
    """One line of such a file: as it stands there, with its line end, and the record that it holds, if any.

    Without a record, it is ``foreign``, or else not JSON, as a crash leaves a line.
    """

    content: bytes
    record: dict[str, Any] | None
    foreign: bool = False


@contextmanager
def open_records(run: Path, name: str) -> Iterator[Iterator[Line]]:
    """Yields the lines of METRICS, SAMPLES, SCHEDULE or SESSIONS one after another; none where there is no file.

    Raises RunError for a file that is too large, and, from the iterator, for one with too many lines that are none of
    charkit's; and OSError.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(OpenFolder.at(run))
        try:
            file = stack.enter_context(folder.opened(name, limits.RECORDS))
        except FileNotFoundError:
            yield iter(())
        else:
            yield _limited(_lines(file, _LINES[name]), run / name)


def _limited(lines: Iterator[Line | None], path: Path) -> Iterator[Line]:
    """The lines that are not blank. Raises RunError where there are too many that hold no record."""
    odd = 0
    for line in lines:
        odd += line is None or line.record is None
        if odd > limits.ODD_LINES:
            raise RunError(
                f"{str(path)!r} was not written by charkit: it has more than {limits.ODD_LINES:,} invalid lines"
            )
        if line is not None:
            yield line


def _lines(file: BinaryIO, schema: type[_Line]) -> Iterator[Line | None]:
    """The lines of a file, None for blank ones. What a file holds raises nothing."""
    while content := file.readline(limits.LINE):
        if len(content) == limits.LINE and not content.endswith(b"\n"):
            while (rest := file.readline(_PIECE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield Line(b"", None, foreign=True)
        else:
            yield _parsed(content, schema) if content.strip() else None


def _parsed(content: bytes, schema: type[_Line]) -> Line:
    try:
        record = parse_json(content)
    except ValueError:
        return Line(content, None)
    try:
        schema.model_validate(record)
    except ValidationError:
        return Line(content, None, foreign=True)
    return Line(content, record)
