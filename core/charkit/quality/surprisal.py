"""The surprisal of each character of a text: how many bits a model needs for it, given all that came before."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.evaluation import Evaluation
from charkit.quality.surprisal_files import SurprisalFile, surprisal_table
from charkit.quality.surprisal_page import surprisal_page
from charkit.runs.files_by_path import replace_file
from charkit.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Surprisal:
    """A text that was scored, with the surprisal of each of its characters.

    ``characters`` and ``bits``, float64 ``(character,)``, have one entry for each character that was scored: all
    but the first, before which there is nothing to predict it from. ``positions``, int64 ``(character,)``, are the
    positions of their first symbols in the whole text, counted from 0: in characters, or in bytes with a byte
    vocabulary, and without skipped symbols. ``evaluation`` has the totals.
    """

    characters: tuple[str, ...] = field(repr=False)
    bits: NDArray[np.float64] = field(repr=False)
    positions: NDArray[np.int64] = field(repr=False)
    evaluation: Evaluation

    @classmethod
    def of_symbols(
        cls,
        symbols: NDArray[np.integer[Any]],
        nats: NDArray[np.float64],
        vocabulary: Vocabulary,
        first: int,
        evaluation: Evaluation,
    ) -> Surprisal:
        """Computes the surprisal of each character of ``symbols``, ``(symbol,)``, from the nats of each symbol.

        ``first`` is the position of the first symbol in the whole text. With a byte vocabulary, the bytes of a
        character are added up; bytes that are not UTF-8 become U+FFFD. Raises IndexError if there are no symbols, or
        for one that the vocabulary lacks.
        """
        begins = vocabulary.starts_character[symbols]
        begins[0] = True  # also where the range begins inside of a character
        starts = np.flatnonzero(begins)
        if vocabulary.kind == "char":
            characters = tuple(vocabulary.decode(symbols))
        else:
            content = vocabulary.points[symbols].astype(np.uint8).tobytes()
            ends = [*starts[1:].tolist(), len(content)]
            characters = tuple(
                content[start:end].decode("utf-8", "replace")
                for start, end in zip(starts.tolist(), ends, strict=True)
            )
        return cls(characters, np.add.reduceat(nats, starts) / log(2), starts + first, evaluation)

    def write(self, path: str | PathLike[str]) -> None:
        """Writes a table to FILE.csv, or the text colored by surprisal to FILE.html.

        The table has the columns ``position``, ``character`` and ``surprisal_bits``. A file written by an earlier call
        is replaced atomically; any other file is left alone. Raises ConfigurationError for another suffix, TextError
        for a text too long for a page, and StorageError.
        """
        target = SurprisalFile.at(path)
        target.check_size(len(self.characters))
        if target.is_page:
            content = surprisal_page(self.characters, self.bits, self.evaluation)
        else:
            content = surprisal_table(self.positions, self.characters, self.bits)
        replace_file(target.path, content.encode())
