"""Where surprisal is written: a table for programs, or a page for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from charkit.argument_checks import as_path
from charkit.errors import ConfigurationError, StorageError, TextError
from charkit.quality.surprisal_page import GENERATOR, MOST_CHARACTERS
from charkit.runs.files_by_path import writing

COLUMNS = ("position", "character", "surprisal_bits")
#: What an earlier file of ours has in its first bytes, by suffix.
_MARKS = {".csv": ",".join(COLUMNS), ".html": GENERATOR}
_BEGINNING_BYTES = 1000


@dataclass(frozen=True)
class SurprisalFile:
    """A file that surprisal can be written to; ``at`` finds why it can't, before anything is scored."""

    path: Path

    @classmethod
    def at(cls, path: str | PathLike[str]) -> SurprisalFile:
        """Checks the path.

        Raises ConfigurationError for what is no path, or has a suffix other than .csv and .html, and StorageError where
        the folder is missing or a file is in the way that holds something else.
        """
        target = cls(as_path("the file for the surprisal of each character", path))
        if target.path.suffix.lower() not in _MARKS:
            raise ConfigurationError(
                "the surprisal of each character must be written to FILE.csv (a table) or FILE.html (a page); "
                f"given {str(path)!r}"
            )
        folder = target.path.parent
        if not folder.is_dir():
            raise StorageError(
                f"can't write {str(path)!r}: directory {str(folder)!r} doesn't exist; create it first"
            )
        if target.path.exists() and not target._holds_surprisal():
            raise StorageError(
                f"{str(path)!r} already exists and was not written by charkit, so it is never overwritten; "
                "choose another file"
            )
        return target

    @property
    def is_page(self) -> bool:
        """Whether a page is written, and not a table."""
        return self.path.suffix.lower() == ".html"

    def check_size(self, characters: int) -> None:
        """Raises TextError for a text that has more characters than a page shows."""
        if self.is_page and characters > MOST_CHARACTERS:
            raise TextError(
                f"the text to score has {characters:,} characters, but a page shows at most {MOST_CHARACTERS:,}; "
                f"write a table to {str(self.path.with_suffix('.csv'))!r} instead, or score less text"
            )

    def _holds_surprisal(self) -> bool:
        if not self.path.is_file():
            return False
        with writing(self.path), self.path.open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES).decode("utf-8", "replace")
        return _MARKS[self.path.suffix.lower()] in beginning


def surprisal_table(positions: NDArray[Any], characters: Sequence[str], bits: NDArray[Any]) -> str:
    """A row for each character, which is always quoted: it may be a comma, a quote, or either half of a line end."""
    file = io.StringIO(newline="")
    file.write(",".join(COLUMNS) + "\n")
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows(zip(positions.tolist(), characters, bits.round(4).tolist(), strict=True))
    return file.getvalue()
