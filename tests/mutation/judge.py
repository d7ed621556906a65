"""Judges mutants in processes of their own: what the kit does for backends, and tests do for modules of the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mutation.mutants import Mutant
from mutation.processes import BrokenHarnessError, Ended, Limits, run_all
from mutation.records import Record, Verdict


@dataclass(frozen=True)
class Judge:
    """How a mutant is judged. ``work`` runs in its process and folder; None is the code as it is."""

    complaint: str  # "the kit does not pass on numpy"
    work: Callable[[Mutant | None, Path], None]
    verdict: Callable[[Path, Ended], Verdict]

    def on_unchanged(self, limits: Limits) -> Verdict:
        """The verdict on the code as it is. Raises BrokenHarnessError unless it passes."""
        verdicts: list[Verdict] = []
        self._run([None], limits, 1, lambda _, verdict: verdicts.append(verdict))
        if verdicts[0].outcome != "survived":
            raise BrokenHarnessError(f"{self.complaint} as it is: {verdicts[0]}")
        return verdicts[0]

    def on_mutants(
        self, mutants: Iterable[Mutant], on_record: Callable[[Record], None], limits: Limits, jobs: int
    ) -> None:
        """Judges ``jobs`` mutants at a time; ``on_record`` gets each record as it comes."""

        def on_verdict(mutant: Mutant | None, verdict: Verdict) -> None:
            assert mutant is not None
            on_record(Record.of(mutant, verdict))

        self._run(mutants, limits, jobs, on_verdict)

    def _run(
        self,
        mutants: Iterable[Mutant | None],
        limits: Limits,
        jobs: int,
        on_verdict: Callable[[Mutant | None, Verdict], None],
    ) -> None:
        run_all(
            mutants,
            self.work,
            lambda mutant, folder, ended: on_verdict(mutant, self.verdict(folder, ended)),
            limits,
            jobs,
        )
