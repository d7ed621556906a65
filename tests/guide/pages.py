"""Reads the documentation's pages: their code blocks, headings and links, and the files that an example consists of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
#: A line that begins with a file's name, perhaps more lines of the paragraph, and the block of code below it.
_FILE = re.compile(r"^`([\w/]+\.\w+)`[^\n]*\n(?:[^\n`]+\n)*\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(page: str) -> str:
    """The text of a page, by its name without the suffix."""
    return (DOCS / f"{page}.md").read_text("utf-8")


def example_files(page: str) -> dict[str, str]:
    """The files of the example on a page, by path."""
    return dict(_FILE.findall(read(page)))


def write_example(page: str, folder: Path) -> Path:
    """Writes the example's files into the folder, as a reader would, and returns the folder."""
    for path, text in example_files(page).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


def blocks(text: str, language: str = "") -> list[str]:
    """The code blocks of one language; without a language, commands and what they print."""
    return [block for of, block in _BLOCK.findall(text) if of == language]


def table_rows(text: str) -> list[list[str]]:
    """The cells of every line of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    return {anchor(heading) for heading in _HEADING.findall(_BLOCK.sub("", text))}


def anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading that no earlier one equals."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


def links(text: str) -> Iterator[str]:
    """The targets of a page's links."""
    yield from _LINK.findall(_BLOCK.sub("", text))
