"""The results of mutants and their files: a line of JSON for the run, then one for each mutant."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mutation.mutants import Mutant

_FOLDER = Path(__file__).parent
#: The published results, one file for each backend.
RESULTS = [_FOLDER / "results" / f"{name}.jsonl" for name in ("plain", "numpy", "torch", "jax")]
#: caught: a check failed. timeout, memory, crash: the process had to be ended, or ended by itself.
Outcome = Literal["caught", "survived", "timeout", "memory", "crash"]


@dataclass(frozen=True)
class Verdict:
    """The kit's verdict on a mutant: the first finding, or empty texts."""

    outcome: Outcome
    stage: str
    check: str
    expected: str
    got: str
    look_at: str
    seconds: float


@dataclass(frozen=True)
class Record:
    """A mutant and its verdict."""

    identity: str
    file: str
    function: str
    rule: str
    before: str
    after: str
    verdict: Verdict

    @classmethod
    def of(cls, mutant: Mutant, verdict: Verdict) -> Record:
        """The record of a mutant that was run."""
        what = (mutant.identity, mutant.file, mutant.function, mutant.rule, mutant.before, mutant.after)
        return cls(*what, verdict)


@dataclass(frozen=True)
class Draw:
    """Which mutants were run: a number of them, drawn by a seed from all that the rules make."""

    backend: str
    seed: int
    count: int
    candidates: int
    checks: int
    unchanged_seconds: float  # how long the kit takes on the backend as it is


class Writer:
    """Appends to a file as results come, so that an interrupted run leaves what it has."""

    def __init__(self, path: Path, draw: Draw) -> None:
        self._path = path
        path.write_text(json.dumps(asdict(draw)) + "\n", "utf-8")

    def add(self, record: Record) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")


def read(path: Path) -> tuple[Draw, list[Record]]:
    """The file's draw and its records."""
    first, *rest = path.read_text("utf-8").splitlines()
    records = []
    for line in rest:
        values = json.loads(line)
        records.append(Record(**{**values, "verdict": Verdict(**values["verdict"])}))
    return Draw(**json.loads(first)), records
