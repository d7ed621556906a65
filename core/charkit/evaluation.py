"""Scoring a range of text: nats, bits per character, bits per byte, perplexity.

Validation and ``evaluate`` are this one function. The range is cut into contiguous streams that are
scored side by side. Each is warmed up on the symbols before it, so every symbol but the text's first
is scored once, and with context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.errors import TextError
from charkit.html_tables import table_of_fields
from charkit.input_checks import DeviceState
from charkit.text.vocabulary import Vocabulary

WARM_UP_SYMBOLS = 500
MOST_STREAMS = 64
#: Below this many symbols per stream, warming up would cost more than scoring side by side gains.
LEAST_SYMBOLS_PER_STREAM = 2500
#: Time steps per call; divides the warm-up, so that one compiled shape serves all.
CHUNK_STEPS = 100
#: Time steps between two calls that give memory-mapped pages back; more often would read them anew.
RELEASE_STEPS = 20 * CHUNK_STEPS
#: Symbols that are counted at once.
COUNT_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    ``loss`` is in nats per symbol. ``bits_per_character`` and ``bits_per_byte`` divide the total by the characters and
    by the UTF-8 bytes of the same text. ``streams`` is the number of streams scored in parallel.
    """

    loss: float
    bits_per_character: float
    bits_per_byte: float
    perplexity: float
    symbols: int
    streams: int

    #: What stands above the table in a notebook, if anything.
    _caption: ClassVar[str] = ""

    def _repr_html_(self) -> str:
        return table_of_fields(
            [
                ("loss (nats per symbol)", f"{self.loss:.4f}"),
                ("bits per character", f"{self.bits_per_character:.4f}"),
                ("bits per byte", f"{self.bits_per_byte:.4f}"),
                ("perplexity", f"{self.perplexity:.3f}"),
                ("symbols", f"{self.symbols:,}"),
            ],
            self._caption,
        )


def evaluate(
    model: CharRNN,
    symbols: NDArray[np.unsignedinteger],
    vocabulary: Vocabulary,
    start: int,
    stop: int,
    *,
    nats_of_each: NDArray[np.float64] | None = None,
    release: Callable[[], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Scores the symbols of the range [start, stop) of a text, each given all that came before it.

    ``symbols`` is the whole text, ``(symbol,)``. ``nats_of_each``, ``(symbol,)`` from ``first_scored`` to ``stop``, is
    filled with the loss of each symbol where it is given. ``release`` gives memory-mapped pages back; ``progress`` is
    called with the fraction that is done. Raises TextError if there is nothing to score.
    """
    first = first_scored(start, stop)
    streams = min(MOST_STREAMS, max(1, (stop - first) // LEAST_SYMBOLS_PER_STREAM))
    borders = np.linspace(first, stop, streams + 1).astype(np.int64)  # (stream + 1,)
    total_nats = 0.0
    state = warmed_up(model, symbols, borders[:-1])
    longest = int(np.diff(borders).max())
    for offset in range(0, longest, CHUNK_STEPS):
        inputs, targets, real = _chunk(symbols, borders, offset)
        nats, state = model.nats(inputs, targets, state)
        total_nats += float(np.sum(nats, where=real, dtype=np.float64))
        if nats_of_each is not None:
            nats_of_each[_positions(borders, offset)[real] - first] = nats[real]
        if release is not None and offset % RELEASE_STEPS == 0:
            release()
        if progress is not None:
            progress(min(1.0, (offset + CHUNK_STEPS) / longest))
    counts = symbol_counts(symbols, vocabulary, first, stop, release)
    return Evaluation(**figures(total_nats, counts, vocabulary), streams=streams)


def first_scored(start: int, stop: int) -> int:
    """The position of the first symbol of the range [start, stop) that can be scored.

    Nothing comes before the text's own first symbol, so that one can't. Raises TextError if nothing is left.
    """
    first = max(start, 1)
    if stop - first < 1:
        why = "there are no symbols"
        if stop > start:
            why = "there is only 1 symbol, and a text's first symbol can't be scored because nothing precedes it"
        raise TextError(f"nothing to score: {why}; give a longer text")
    return first


def _positions(borders: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
    """The positions of the targets, ``(stream, CHUNK_STEPS)``, at this offset in each stream."""
    return np.asarray(borders[:-1, None] + offset + np.arange(CHUNK_STEPS), dtype=np.int64)


def _chunk(
    symbols: NDArray[np.unsignedinteger], borders: NDArray[np.int64], offset: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Inputs, targets and which targets count, ``(stream, CHUNK_STEPS)``, at this offset in each stream."""
    positions = _positions(borders, offset)
    real = positions < borders[1:, None]
    positions = np.minimum(positions, borders[-1] - 1)  # past a stream's end anything will do
    return symbols[positions - 1].astype(np.int32), symbols[positions].astype(np.int32), real


def warmed_up(model: CharRNN, symbols: NDArray[np.unsignedinteger], starts: NDArray[np.int64]) -> DeviceState:
    """The state of each stream just before the input that predicts its first symbol.

    ``starts`` are the positions of the first symbols, ``(stream,)``, in ``symbols``, ``(symbol,)``.
    """
    state = model.initial_state(len(starts))
    behind = starts - 1 - WARM_UP_SYMBOLS  # the first symbol that each stream reads
    if behind[-1] >= 0:
        for offset in range(0, WARM_UP_SYMBOLS, CHUNK_STEPS):
            positions = np.maximum(behind, 0)[:, None] + offset + np.arange(CHUNK_STEPS)
            inputs = symbols[positions].astype(np.int32)
            _, state = model.nats(inputs, inputs, state)
    if behind[0] < 0:  # only the first stream can lie so near to the text's beginning
        return _with_first(model, symbols[: starts[0] - 1], state, len(starts))
    return state


def _with_first(
    model: CharRNN, symbols: NDArray[np.unsignedinteger], state: DeviceState, streams: int
) -> DeviceState:
    """The state with that after a warm-up shorter than the others' in the first stream's place."""
    short = model.initial_state(1)
    if len(symbols):
        inputs = symbols[None].astype(np.int32)
        _, short = model.nats(inputs, inputs, short)
    arrays, first = model.state_arrays(state), model.state_arrays(short)
    arrays.hidden[:, :1], arrays.cell[:, :1] = first.hidden, first.cell
    return model.initial_state(streams, arrays=arrays)


def symbol_counts(
    symbols: NDArray[np.integer[Any]],
    vocabulary: Vocabulary,
    start: int,
    stop: int,
    release: Callable[[], None] | None = None,
) -> NDArray[np.int64]:
    """How often each symbol occurs in the range [start, stop), ``(symbol,)``, counted a piece at a time."""
    counts = np.zeros(vocabulary.size, dtype=np.int64)
    for first in range(start, stop, COUNT_AT_ONCE):
        counts += np.bincount(symbols[first : min(stop, first + COUNT_AT_ONCE)], minlength=vocabulary.size)
        if release is not None and (first - start) % (16 * COUNT_AT_ONCE) == 0:
            release()
    return counts


def character_count(counts: NDArray[np.int64], vocabulary: Vocabulary) -> int:
    """How many characters begin among symbols that occur so often, ``(symbol,)``; 1 at least."""
    return max(1, int(counts[vocabulary.starts_character].sum()))


class Figures(TypedDict):
    """The figures of an evaluation that follow from the total loss."""

    loss: float
    bits_per_character: float
    bits_per_byte: float
    perplexity: float
    symbols: int


def figures(total_nats: float, counts: NDArray[np.int64], vocabulary: Vocabulary) -> Figures:
    """The figures of a total loss, where each symbol was scored so often, ``(symbol,)``."""
    scored = int(counts.sum())
    loss = total_nats / scored
    bits = total_nats / log(2)
    return Figures(
        loss=loss,
        bits_per_character=bits / character_count(counts, vocabulary),
        bits_per_byte=bits / int(counts @ vocabulary.byte_lengths),
        perplexity=exp(loss) if loss < 700 else float("inf"),
        symbols=scored,
    )
