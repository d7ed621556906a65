"""The sampling loop: from logits and one uniform draw per symbol to text, the same on every backend."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.config import SamplingConfig
from charkit.randomness import FloatArray, SamplingDraws
from charkit.vocabulary import Vocabulary

#: Symbols of prime text that are fed at once. One shape for all, so that a compiling backend compiles once.
PRIME_CHUNK = 128


class Piece(NamedTuple):
    """Text that has just become whole, of one of the samples drawn side by side."""

    stream: int
    text: str


def choose(logits: NDArray[Any], draws: FloatArray, config: SamplingConfig) -> NDArray[np.int32]:
    """The next symbol of each stream, int32 ``(batch,)``.

    ``logits`` are ``(batch, vocabulary)``, ``draws`` uniform in [0, 1), ``(batch,)``. The symbol is the
    first whose cumulative weight exceeds ``draw * total``, all in float64. Temperature 0 takes the
    likeliest, the lowest index on a tie. Top-k comes before top-p (Holtzman et al., 2020); both sort
    stably, so ties go by index.
    """
    if config.temperature == 0:
        return np.asarray(np.argmax(logits, axis=1), dtype=np.int32)
    below = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the likeliest to -infinity, rightly
        weights = np.exp(below / config.temperature)
    if config.top_k is not None or config.top_p is not None:
        weights = _keep_likeliest(weights, config)
    cumulative = np.cumsum(weights, axis=1)
    beyond = cumulative > (draws * cumulative[:, -1])[:, None]
    return np.asarray(np.argmax(beyond, axis=1), dtype=np.int32)


def _keep_likeliest(weights: FloatArray, config: SamplingConfig) -> FloatArray:
    order = np.argsort(-weights, axis=1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=1)
    if config.top_k is not None:
        ranked[:, config.top_k :] = 0.0
    if config.top_p is not None:
        before = np.cumsum(ranked, axis=1) - ranked  # the weight of all that are likelier
        ranked[before >= config.top_p * ranked.sum(axis=1, keepdims=True)] = 0.0
    kept = np.empty_like(weights)
    np.put_along_axis(kept, order, ranked, axis=1)
    return kept


def fresh_seed() -> int:
    """A seed from the operating system, for samples whose seed nobody gave; short enough to type."""
    return secrets.randbelow(2**31)


def sample_pieces(
    model: CharRNN, vocabulary: Vocabulary, config: SamplingConfig, prime: NDArray[np.int32] | None = None
) -> Iterator[Piece]:
    """Draws ``config.count`` samples side by side and yields their text as it becomes whole.

    ``prime`` is the encoded prime text, int32 ``(time,)``; the pieces do not repeat it. Without one the
    samples start as if after a line end. ``config.seed`` must be set. Each sample ends after
    ``config.length`` symbols or once its new text holds ``config.stop``.
    """
    assert config.seed is not None, "the caller decides the seed"
    streams = [_Stream(vocabulary, config, config.seed, index) for index in range(config.count)]
    if prime is None or len(prime) == 0:
        prime = start_symbol(vocabulary)
    state = _state_after(model, prime[:-1], config.count)
    symbols = np.full((config.count, 1), prime[-1], dtype=np.int32)
    for position in range(config.length):
        logits, state = model.predict(symbols, state)
        draws = np.array([stream.draws.at(position) for stream in streams])
        symbols = choose(logits, draws, config)[:, None]
        for stream, symbol in zip(streams, symbols[:, 0].tolist(), strict=True):
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


def _state_after(model: CharRNN, symbols: NDArray[np.int32], count: int) -> Any:
    """The state after the symbols, for ``count`` streams; computed once and then repeated."""
    state = model.start(1)
    whole = len(symbols) - len(symbols) % PRIME_CHUNK
    for start in range(0, whole, PRIME_CHUNK):
        state = model.advance(symbols[None, start : start + PRIME_CHUNK].copy(), state)
    for symbol in symbols[whole:]:  # one by one rather than in a shape that would have to be compiled
        state = model.advance(np.array([[symbol]], dtype=np.int32), state)
    return model.repeat(state, count)


class _Stream:
    """One sample: its draws, its decoder, and whether it has ended."""

    def __init__(self, vocabulary: Vocabulary, config: SamplingConfig, seed: int, index: int) -> None:
        self.index = index
        self.draws = SamplingDraws(seed, index)
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
