"""Small HTML tables, which notebooks show in place of a result's ``repr``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

#: Styles of a cell: the notebook's own style sheet does the rest, light or dark. Digits stand below each other.
NUMBERS = "text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap"
TEXTS = "text-align: left; white-space: normal"
_FIELDS = "text-align: left; font-variant-numeric: tabular-nums; white-space: nowrap"


def table_of_rows(
    columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", *, style: str = NUMBERS
) -> str:
    """A table with a header and one row per record, of ``NUMBERS`` or of ``TEXTS``."""
    head = "".join(f'<th style="{style}">{escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{_caption(caption)}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of_fields(fields: Iterable[tuple[str, str]], caption: str = "") -> str:
    """A table with one row per field: its name, and its value."""
    body = "".join(
        f'<tr><th style="{_FIELDS}">{escape(name)}</th><td style="{_FIELDS}">{escape(value)}</td></tr>'
        for name, value in fields
    )
    return f"<table>{_caption(caption)}<tbody>{body}</tbody></table>"


def _caption(text: str) -> str:
    """The caption above a table, none where there is no text."""
    style = "caption-side: top; text-align: left; white-space: nowrap"
    return f'<caption style="{style}">{escape(text)}</caption>' if text else ""
