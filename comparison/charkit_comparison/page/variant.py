"""One who took part, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from charkit_comparison.page import formatting
from charkit_comparison.page.palette import Look
from charkit_comparison.report import Outcome


@dataclass(frozen=True)
class Variant:
    """One variant of the report, and how it looks."""

    outcome: Outcome
    look: Look

    @property
    def label(self) -> str:
        """Its name, on one line."""
        return formatting.one_line(self.outcome.label)

    @property
    def marked(self) -> str:
        """Its name, and whether it is only shown."""
        return self.label if self.outcome.decides else f"{self.label} (shown only)"
