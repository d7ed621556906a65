"""A variant of the report, and the style that it is drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from charkit_comparison.report_parts import Outcome
from charkit_pages import formatting
from charkit_pages.palette import SeriesStyle


@dataclass(frozen=True)
class VariantView:
    """One variant of the report with its style."""

    outcome: Outcome
    style: SeriesStyle

    @property
    def label(self) -> str:
        """Its name, on one line."""
        return formatting.one_line(self.outcome.label)

    @property
    def note(self) -> str:
        """Says so where it is only shown, and decides nothing."""
        return "" if self.outcome.decides else "not judged"
