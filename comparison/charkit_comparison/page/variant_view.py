"""A variant of the report, and the style that it is drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from charkit_comparison import formatting
from charkit_comparison.page.palette import VariantStyle
from charkit_comparison.report_parts import Outcome


@dataclass(frozen=True)
class VariantView:
    """One variant of the report with its style."""

    outcome: Outcome
    style: VariantStyle

    @property
    def label(self) -> str:
        """Its name, on one line."""
        return formatting.one_line(self.outcome.label)

    @property
    def marked_label(self) -> str:
        """Its name, and whether it is only shown."""
        return self.label if self.outcome.decides else f"{self.label} (shown only)"
