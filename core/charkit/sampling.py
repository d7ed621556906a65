"""Sampled text: symbols that a network draws, decoded as they come, until a sample has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig
from charkit.text.vocabulary import Vocabulary


class Piece(NamedTuple):
    """New text of one of the samples drawn in parallel; ``stream`` is the number of that sample, from 0."""

    stream: int
    text: str


def sample_pieces(
    model: CharRNN, vocabulary: Vocabulary, config: SamplingConfig, prime: NDArray[np.int32] | None = None
) -> Iterator[Piece]:
    """Draws ``config.count`` samples side by side and yields their text as it becomes whole.

    ``prime`` is the encoded prime text, int32 ``(time,)``; the pieces do not repeat it. Without one the
    samples start as if after a line end. ``config.seed`` must be set. Each sample ends after
    ``config.length`` symbols or once its new text holds ``config.stop``.
    """
    streams = [_Stream(vocabulary, config, index) for index in range(config.count)]
    if prime is None or len(prime) == 0:
        prime = start_symbol(vocabulary)
    for symbols in model.draw(config, prime):
        for stream, symbol in zip(streams, symbols.tolist(), strict=True):
            text = stream.take(symbol)
            if text:
                yield Piece(stream.index, text)
        if all(stream.done for stream in streams):
            return
    for stream in streams:
        text = stream.finish()
        if text:
            yield Piece(stream.index, text)


def sample_texts(
    model: CharRNN, vocabulary: Vocabulary, config: SamplingConfig, prime: NDArray[np.int32] | None = None
) -> list[str]:
    """The new text of each sample, without the prime text."""
    pieces: list[list[str]] = [[] for _ in range(config.count)]
    for stream, text in sample_pieces(model, vocabulary, config, prime):
        pieces[stream].append(text)
    return ["".join(texts) for texts in pieces]


def start_symbol(vocabulary: Vocabulary) -> NDArray[np.int32]:
    """What a sample without prime text follows: a line end where the vocabulary has one, else symbol 0."""
    known, _ = vocabulary.encode("\n", unknown="skip")
    return known if len(known) else np.zeros(1, dtype=np.int32)


class _Stream:
    """One sample: its decoder, and whether it has ended."""

    def __init__(self, vocabulary: Vocabulary, config: SamplingConfig, index: int) -> None:
        self.index = index
        self.done = False
        self._decoder = vocabulary.stream_decoder()
        self._stop = config.stop
        self._tail = ""

    def take(self, symbol: int) -> str:
        """The text that became whole with this symbol; nothing once the sample has ended."""
        return "" if self.done else self._until_stop(self._decoder.feed(symbol))

    def finish(self) -> str:
        """What the decoder still held, for a sample that ended by its length."""
        return "" if self.done else self._until_stop(self._decoder.finish())

    def _until_stop(self, text: str) -> str:
        if self._stop is None or not text:
            return text
        seen = self._tail + text
        found = seen.find(self._stop)
        if found >= 0:
            self.done = True
            return seen[len(self._tail) : found + len(self._stop)]
        self._tail = seen[max(0, len(seen) - len(self._stop) + 1) :]
        return text
