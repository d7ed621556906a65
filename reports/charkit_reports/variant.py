"""One who took part, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from charkit.comparison.report import Outcome
from charkit_reports import words
from charkit_reports.palette import Look


@dataclass(frozen=True)
class Variant:
    """One variant of the report, and how it looks."""

    outcome: Outcome
    look: Look

    @property
    def label(self) -> str:
        """Its name, on one line."""
        return words.one_line(self.outcome.label)

    @property
    def marked(self) -> str:
        """Its name, and whether it is only shown."""
        return self.label if self.outcome.decides else f"{self.label} (shown only)"
