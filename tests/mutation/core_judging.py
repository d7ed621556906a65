"""What the records of the core's mutants amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mutation.core_modules import MODULES
from mutation.records import Draw, Record, read
from mutation.reviewed import CORE_EQUIVALENT, Equivalent, equivalents

#: The published results, a file for each module.
RESULTS = Path(__file__).parent / "results" / "core"
#: What is asked of a module's tests: of the mutants that are not equivalent.
BAR = 0.85


@dataclass(frozen=True)
class JudgedModule:
    """The records of a module, sorted by what they mean."""

    module: str
    draw: Draw
    caught: int
    equivalent: list[Record]  # survived, and nothing could tell them from the original
    survivors: list[Record]  # survived, and should not have
    excused: list[Record]  # killed, and listed as equivalent all the same: the list is wrong

    @property
    def score(self) -> float:
        """The share of those killed among all that are not equivalent; 1 where there are none."""
        counted = self.caught + len(self.survivors)
        return self.caught / counted if counted else 1.0


def judge_module(
    module: str, draw: Draw, records: list[Record], known: Mapping[str, Equivalent]
) -> JudgedModule:
    """Sorts the records. An equivalent mutant counts as one only where it survived."""
    survived = [record for record in records if record.verdict.outcome == "survived"]
    killed = [record for record in records if record.verdict.outcome != "survived"]
    return JudgedModule(
        module,
        draw,
        len(killed),
        [record for record in survived if record.identity in known],
        [record for record in survived if record.identity not in known],
        [record for record in killed if record.identity in known],
    )


def judge_all(folder: Path = RESULTS) -> list[JudgedModule]:
    """Every module that has results in the folder, in the order of ``MODULES``."""
    known = equivalents(CORE_EQUIVALENT)
    files = [(name, folder / f"{name}.jsonl") for name in MODULES]
    return [judge_module(name, *read(file), known) for name, file in files if file.is_file()]
