"""Real text that a model knows, to compare two programs on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.runs.run import Run
from charkit.text.corpus import first_symbols

Symbols = NDArray[np.int32]


def real_symbols(run: Run, batch: int, time: int) -> tuple[Symbols, str]:
    """Symbols (batch, time) of text that the run's model knows, and in words which text it is.

    It is the beginning of the text that the run names, also where that has changed since: any real text will do. Where
    it can't be read it is charkit's default text, and where that holds no symbol of the model either, every symbol in
    turn. What is too short is repeated.
    """
    default, reference = DataConfig(vocabulary=run.vocabulary.kind), "Python's language reference"
    tries = [(default, reference)]
    if run.config.data.text:
        tries = [
            (run.config.data, "the run's text"),
            (default, f"{reference}, since the run's own text can't be used"),
        ]
    for data, source in tries:
        try:
            symbols = first_symbols(data, run.vocabulary, batch * time)
        except TextError:  # the file has gone or is no text any more
            continue
        if symbols.size:
            return np.resize(symbols, (batch, time)), source
    every = np.arange(run.vocabulary.size, dtype=np.int32)
    source = "the vocabulary in order, since no available text contains any of its symbols"
    return np.resize(every, (batch, time)), source
