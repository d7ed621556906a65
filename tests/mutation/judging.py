"""What the records of a run amount to: the score, where findings point, and whether names are right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mutation.parts import points_at_it
from mutation.records import Draw, Record
from mutation.reviewed import Equivalent

#: What is asked of the kit: of the mutants that are not equivalent, and of the first findings on those caught.
SCORE_BAR, POINTING_BAR = 0.99, 0.90
_NAME = re.compile(r"it looks like (.+?)(?:; |$)")


@dataclass(frozen=True)
class Judged:
    """The records of one run, sorted by what they mean."""

    draw: Draw
    records: list[Record]
    equivalent: list[Record]  # survived, and behaves as the original does
    survivors: list[Record]  # survived, and should not have
    excused: list[Record]  # caught, and listed as equivalent all the same: the list is wrong
    elsewhere: list[Record]  # caught, and the first finding points at something else
    names: list[tuple[Record, str]]  # every mistake that was named

    @property
    def caught(self) -> int:
        """How many the kit found, by whatever means."""
        return len(self.records) - len(self.equivalent) - len(self.survivors)

    @property
    def score(self) -> float:
        """The share of those found among all that are not equivalent; all where there are none of these."""
        judged = self.caught + len(self.survivors)
        return self.caught / judged if judged else 1.0

    @property
    def pointing(self) -> float:
        """The share of those found whose first finding names the function, its file or its part; all where none is."""
        return 1 - len(self.elsewhere) / self.caught if self.caught else 1.0

    def count(self, outcome: str) -> int:
        """How many ended so."""
        return sum(record.verdict.outcome == outcome for record in self.records)


def judge(draw: Draw, records: list[Record], equivalents: Mapping[str, Equivalent]) -> Judged:
    """Sorts the records. An equivalent mutant counts as one only where it survived."""
    survived = [record for record in records if record.verdict.outcome == "survived"]
    found = [record for record in records if record.verdict.outcome != "survived"]
    names = [(record, name) for record in found if (name := mistake_named(record))]
    return Judged(
        draw,
        records,
        equivalent=[record for record in survived if record.identity in equivalents],
        survivors=[record for record in survived if record.identity not in equivalents],
        excused=[record for record in found if record.identity in equivalents],
        elsewhere=[record for record in found if not points_at_it(draw.backend, record)],
        names=names,
    )


def mistake_named(record: Record) -> str:
    """The mistake that the finding names, or nothing."""
    match = _NAME.match(record.verdict.look_at)
    return match[1] if match else ""
