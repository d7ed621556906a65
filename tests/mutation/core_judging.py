"""What the records of the core's mutants amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    equivalent: list[Record]  # survived, and behaves as the original does
    survivors: list[Record]  # survived, and should not have
    mended: list[Record]  # of the survivors, those that more tests kill, added after the draw
    excused: list[Record]  # killed, and listed as equivalent all the same: the list is wrong

    @property
    def counted(self) -> int:
        """How many could be killed."""
        return self.caught + len(self.survivors)

    @property
    def drawn_score(self) -> float:
        """The share of those that the tests killed when they were drawn; 1 where there are none."""
        return self.caught / self.counted if self.counted else 1.0

    @property
    def score(self) -> float:
        """The share with the tests that were added after the draw."""
        return (self.caught + len(self.mended)) / self.counted if self.counted else 1.0


def judge_module(
    module: str,
    draw: Draw,
    records: list[Record],
    known: Mapping[str, Equivalent],
    again: Iterable[Record] = (),
) -> JudgedModule:
    """Sorts the records of a draw; ``again`` are those of survivors that were run once more, with more tests.

    An equivalent mutant counts as one only where it survived.
    """
    survived = [record for record in records if record.verdict.outcome == "survived"]
    killed = [record for record in records if record.verdict.outcome != "survived"]
    killed_since = {record.identity for record in again if record.verdict.outcome != "survived"}
    survivors = [record for record in survived if record.identity not in known]
    return JudgedModule(
        module,
        draw,
        len(killed),
        [record for record in survived if record.identity in known],
        survivors,
        [record for record in survivors if record.identity in killed_since],
        [record for record in killed if record.identity in known],
    )


def judge_all(folder: Path = RESULTS) -> list[JudgedModule]:
    """Every module that has results in the folder, in the order of ``MODULES``."""
    known = equivalents(CORE_EQUIVALENT)
    return [
        judge_module(name, *read(results(folder, name)), known, read_again(folder, name))
        for name in MODULES
        if results(folder, name).is_file()
    ]


def results(folder: Path, module: str, *, again: bool = False) -> Path:
    """The file of a module's results: of a draw, or of its survivors with the tests added since."""
    return folder / (f"{module}.again.jsonl" if again else f"{module}.jsonl")


def read_again(folder: Path, module: str) -> list[Record]:
    """The records of the survivors that were run once more, if they were."""
    file = results(folder, module, again=True)
    return read(file)[1] if file.is_file() else []
