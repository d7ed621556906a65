"""The lines that a run keeps of its training, in ``metrics.jsonl``, ``samples.jsonl`` and two more.

They are appended to while training goes on, so a crash may cut the last one short, and no manifest has their hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charkit.runs.checkpoint_content import MOST_STEPS
from charkit.strict_json import parse_json

METRICS, SAMPLES, SESSIONS = "metrics.jsonl", "samples.jsonl", "sessions.jsonl"
#: The plans of a schedule that ends with the time limit.
SCHEDULE = "schedule.jsonl"


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


_LINES: dict[str, type[_Line]] = {METRICS: _Metrics, SAMPLES: _Sample, SCHEDULE: _Plan, SESSIONS: _Session}


@dataclass(frozen=True)
class Records:
    """What a file of lines holds: the records in order, and how many lines are none."""

    records: tuple[dict[str, Any], ...] = ()
    #: Lines that are not JSON, as a crash leaves one.
    cut_short: int = 0
    #: Lines that are JSON, but nothing that charkit writes into this file.
    foreign: int = 0


def parse_records(name: str, content: bytes) -> Records:
    """The lines of METRICS, SAMPLES, SCHEDULE or SESSIONS; never raises for what they hold."""
    schema = _LINES[name]
    records, cut_short, foreign = [], 0, 0
    for line in content.split(b"\n"):  # not splitlines: a sample may hold other line ends
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError:
            cut_short += 1
            continue
        try:
            schema.model_validate(record)
        except ValidationError:
            foreign += 1
            continue
        records.append(record)
    return Records(tuple(records), cut_short, foreign)
