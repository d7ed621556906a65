"""What a line, a bar or a row of a table is about."""

from __future__ import annotations

from typing import Protocol

from charkit_pages.palette import SeriesStyle


class Subject(Protocol):
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


def label_with_note(subject: Subject) -> str:
    """The name of a subject, and its note."""
    return f"{subject.label} ({subject.note})" if subject.note else subject.label
