"""The tables of a report, for the page and for Markdown; each escapes the cells when it renders them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from charkit_pages import formatting
from charkit_pages.series import Series, label_with_note

Cells = tuple["Cell | str", ...]
Tone = Literal["", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """Plain text; it expresses the ``tone`` too, so a rendering may ignore that."""

    text: str
    tone: Tone = ""
    series: tuple[Series, ...] = ()  # those whose names the text is


@dataclass(frozen=True)
class Table:
    """A caption, the columns' names, and rows. The columns named in ``numbers`` are set to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[str]

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers."""
        return self.columns[column] in self.numbers


def make_table(
    caption: str, columns: Sequence[str], rows: Iterable[Cells], text_columns: Sequence[str] = ()
) -> Table:
    """A table whose columns hold numbers, except the first and ``text_columns``."""
    return Table(
        caption,
        tuple(columns),
        tuple(tuple(cell if isinstance(cell, Cell) else _cell(cell) for cell in row) for row in rows),
        frozenset(columns[1:]) - frozenset(text_columns),
    )


def _cell(text: str) -> Cell:
    return Cell(text, "quiet" if text == formatting.NOTHING else "")


def name_cell(*series: Series) -> Cell:
    """The names of series."""
    return Cell(", ".join(map(label_with_note, series)), series=series)
