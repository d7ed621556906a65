"""Simple predictors beside which a model is judged: n-grams and general compressors, trained on the same text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.evaluation import character_count, first_scored, symbol_counts
from charkit.quality.compression import compressed_bits
from charkit.quality.ngrams import ngram_nats
from charkit.text.vocabulary import Vocabulary

Symbols = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Baseline:
    """How well a simple model predicts a text after reading the training text.

    ``name`` is "1-gram" to "8-gram", or the name of a compressor: "zlib", "bzip2", "lzma", or "zstd" if Python has it.
    """

    name: str
    bits_per_character: float


def baselines(
    training: Symbols,
    symbols: Symbols,
    vocabulary: Vocabulary,
    start: int,
    stop: int,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[Baseline, ...]:
    """Scores the symbols that ``evaluate`` scores in [start, stop) of a text, with every baseline.

    ``training``, ``(symbol,)``, is the text that they learn from; ``symbols``, ``(symbol,)``, holds the range.
    N-grams see what comes before the range, as a model does; compressors see the training text alone. ``progress``
    is called with a stage and the fraction of it that is done. Raises TextError if there is nothing to score.
    """
    first = first_scored(start, stop)
    characters = character_count(symbol_counts(symbols, vocabulary, first, stop), vocabulary)
    counting = None if progress is None else partial(progress, "counting n-grams")
    compressing = None if progress is None else partial(progress, "compressing")
    nats = ngram_nats(training, symbols, first, stop, vocabulary.size, progress=counting)
    bits = {f"{order}-gram": total / log(2) for order, total in enumerate(nats.tolist(), start=1)}
    compressed = compressed_bits(training, symbols[first:stop], vocabulary, compressing)
    return tuple(Baseline(name, total / characters) for name, total in (bits | compressed).items())
