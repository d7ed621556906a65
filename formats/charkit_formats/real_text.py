"""Some real text that a model knows, to compare two programs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.runs.run import Run
from charkit.text.corpus import open_corpus
from charkit.text.files import Format, Pass, Source, find_files
from charkit.text.vocabulary import UNKNOWN

Symbols = NDArray[np.int32]


def real_symbols(run: Run, batch: int, time: int) -> tuple[Symbols, str]:
    """Symbols (batch, time) of text that the run's model knows, and whose text it is, in words.

    It is the beginning of the text that the run names. Where that can't be read any more it is charkit's
    default text, and where that holds no symbol of the model either, every symbol in turn. What is too
    short is repeated.
    """
    tries: list[tuple[Callable[[Run, int], Symbols], str]] = [
        (_of_the_default_text, "Python's language reference")
    ]
    if run.config.data.text:
        tries = [
            (_of_the_runs_text, "the text that the run names"),
            (_of_the_default_text, "Python's language reference, since the run's own text can't be read"),
        ]
    for read, whose in tries:
        try:
            return np.resize(_some(read(run, batch * time)), (batch, time)), whose
        except TextError:  # gone, changed, or without a known symbol: the next will do as well
            continue
    every = np.arange(run.vocabulary.size, dtype=np.int32)
    return np.resize(every, (batch, time)), "its symbols in turn, since no text holds one of them"


def _of_the_runs_text(run: Run, count: int) -> Symbols:
    """The first symbols of the text, which is not read much further than that."""
    data = run.config.data
    sources = [Source.of_file(path) for path in find_files(data.text, data.glob)]
    form = Format(run.vocabulary.kind, data.encoding, data.newlines)
    found: Symbols = np.zeros(0, dtype=np.int32)
    for points in Pass(sources, form, "reading", None):
        indices = run.vocabulary.lookup[points]
        found = np.concatenate([found, indices[indices != UNKNOWN]])
        if found.size >= count:
            break
    return found[:count]


def _of_the_default_text(run: Run, count: int) -> Symbols:
    data = DataConfig(vocabulary=run.vocabulary.kind)
    with open_corpus(data, run.vocabulary, unknown="skip") as corpus:
        return corpus.symbols[:count].astype(np.int32)


def _some(symbols: NDArray[Any]) -> NDArray[Any]:
    if symbols.size == 0:
        raise TextError("it holds no symbol that the vocabulary has")
    return symbols
