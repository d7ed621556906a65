"""A series: what lines, bars and rows of tables have in common when they are about the same variant or run."""

from __future__ import annotations

from typing import Protocol

from charkit_pages.palette import SeriesStyle


class Series(Protocol):
    """A variant of a comparison, or a run: its name, and the style that it has everywhere in the page."""

    @property
    def label(self) -> str:
        """Its name, on one line."""

    @property
    def note(self) -> str:
        """A few words in parentheses after its name; empty for none."""

    @property
    def style(self) -> SeriesStyle:
        """Its color, marker and dashes."""


def label_with_note(series: Series) -> str:
    """The name of a series, and its note."""
    return f"{series.label} ({series.note})" if series.note else series.label
