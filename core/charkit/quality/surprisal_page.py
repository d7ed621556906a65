"""The page on which a text is colored by its surprisal: one file that needs nothing else and runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from charkit.evaluation import Evaluation

#: A page of more would be slow in a browser: each character is an element of its own.
MOST_CHARACTERS = 250_000
#: The colors: one for each whole bit, and the last one for all that is above.
LEVELS = 10
#: In the head of every page; by it an earlier page is known.
GENERATOR = '<meta name="generator" content="charkit evaluate --per-character">'
#: Characters shown as another, since they would be invisible: those that end a line keep their effect.
_SHOWN = {"\n": "↵\n", "\t": "→\t", "\r": "␍", "\x7f": "␡", "\x85": "�"}


@dataclass(frozen=True)
class _Cell:
    """A character of the page: what is shown for it, its surprisal in bits, and its color."""

    shown: str
    bits: float
    level: int


def surprisal_page(characters: Sequence[str], bits: NDArray[np.float64], evaluation: Evaluation) -> str:
    """The page's HTML, of characters and the surprisal of each, ``(character,)``."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("charkit.quality"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = resources.files("charkit.quality").joinpath("templates", "surprisal.css").read_text("utf-8")
    return environment.get_template("surprisal.html.jinja").render(
        generator=Markup(GENERATOR),  # noqa: S704 - charkit's own words
        style=Markup(style),  # noqa: S704 - charkit's own file
        evaluation=evaluation,
        cells=_cells(characters, bits),
        characters=len(characters),
        levels=LEVELS,
    )


def _cells(characters: Sequence[str], bits: NDArray[np.float64]) -> Iterator[_Cell]:
    for character, each in zip(characters, bits.tolist(), strict=True):
        yield _Cell(_shown(character), each, min(int(each), LEVELS - 1))


def _shown(character: str) -> str:
    """The character, or a visible sign for one that controls."""
    if character in _SHOWN:
        return _SHOWN[character]
    if len(character) == 1 and ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    return "�" if len(character) == 1 and 0x80 <= ord(character) < 0xA0 else character
