"""How much of a text stands word for word in the training text, exactly.

Spans of one length are numbered so that two have the same number if they are equal: a span of 2n symbols by the numbers
of its two halves. One sort per doubling does that for all spans of both texts, and nothing is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from charkit.config import Section
from charkit.html_tables import table_of_rows

#: The lengths of spans, in symbols. Each is twice the one before, or is built from halves.
SPAN_LENGTHS = (20, 40, 80)

Symbols = NDArray[np.integer[Any]]


class CopiedConfig(Section):
    """The sampled text of which it is asked how much was copied."""

    samples: int = Field(20, ge=1, le=4096, description="samples to draw")
    sample_length: int = Field(1000, ge=1, le=1_000_000, description="symbols per sample")
    temperature: float = Field(1.0, ge=0, le=100, description="sampling temperature")
    seed: int = Field(0, ge=0, lt=2**63, description="random seed for the samples")


@dataclass(frozen=True)
class CopiedSpan:
    """The shares of the sampled and of the held-out text, from 0 to 1, that lie in spans of ``length`` symbols copied
    verbatim from the training text.
    """

    length: int
    sampled: float
    held_out: float


@dataclass(frozen=True)
class CopiedText:
    """How much of a model's sampled text is copied verbatim from its training text, compared with held-out text.

    ``samples`` of ``sample_length`` symbols were drawn at ``temperature`` with ``seed``.
    """

    spans: tuple[CopiedSpan, ...]
    samples: int
    sample_length: int
    temperature: float
    seed: int

    def _repr_html_(self) -> str:
        rows = [(str(span.length), f"{span.sampled:.2%}", f"{span.held_out:.2%}") for span in self.spans]
        return table_of_rows(
            ("span (symbols)", "sampled text", "held-out text"), rows, "copied from the training text"
        )


def copied_shares(
    training: Symbols,
    texts: Sequence[Sequence[Symbols]],
    vocabulary_size: int,
    *,
    lengths: Sequence[int] = SPAN_LENGTHS,
    progress: Callable[[float], None] | None = None,
) -> list[list[float]]:
    """The share of the symbols of each text that lie in a span which the training text has, by length.

    ``training`` is ``(symbol,)``; a text is a sequence of pieces, each ``(symbol,)``, which no span crosses.
    Returns a list for each text, with a share from 0 to 1 for each of ``lengths``. Takes about 50 bytes of memory
    for each symbol.
    """
    border = np.array([vocabulary_size])  # which no training text has, so no span that crosses it is found
    parts: list[Symbols] = [training]
    owners = [np.zeros(len(training), dtype=np.int32)]  # 0 for the training text and for borders
    for number, pieces in enumerate(texts, start=1):
        for piece in pieces:
            parts += [border, piece]
            owners += [np.zeros(1, dtype=np.int32), np.full(len(piece), number, dtype=np.int32)]
    owner = np.concatenate(owners)
    needed = sorted(set().union(*map(_steps, lengths)))
    numbers: dict[int, NDArray[np.int32]] = {1: np.concatenate(parts).astype(np.int32)}
    shares: list[list[float]] = [[] for _ in texts]
    for done, length in enumerate(needed, start=1):
        if length > 1:
            numbers[length] = _joined(
                numbers[length - length // 2], numbers[length // 2], length - length // 2
            )
            numbers = {each: array for each, array in numbers.items() if each >= length // 2}
        if length in lengths:
            inside = _inside_known_spans(numbers[length], len(training), length, len(owner))
            for number, found in enumerate(shares, start=1):
                own = inside[owner == number]
                found.append(float(own.mean()) if len(own) else 0.0)
        if progress is not None:
            progress(done / len(needed))
    return shares


def _steps(length: int) -> set[int]:
    """The lengths that have to be numbered for the spans of this length: its halves, and theirs."""
    return {length} if length == 1 else {length} | _steps(length - length // 2) | _steps(length // 2)


def _joined(left: NDArray[np.int32], right: NDArray[np.int32], left_length: int) -> NDArray[np.int32]:
    """The number of the span that begins at each position, from those of its first part and of the part behind that."""
    behind = right[left_length:]
    keys = left[: len(behind)].astype(np.int64)
    keys *= int(right.max(initial=0)) + 1
    keys += behind
    ranks = np.argsort(keys)
    ordered = keys[ranks]
    is_new = np.zeros(len(keys), dtype=np.int32)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:], casting="unsafe")
    numbers = np.empty(len(keys), dtype=np.int32)
    numbers[ranks] = np.cumsum(is_new, dtype=np.int32)
    return numbers


def _inside_known_spans(
    numbers: NDArray[np.int32], training_size: int, length: int, size: int
) -> NDArray[np.bool_]:
    """Which of all positions lie in a span that begins behind the training text and that the training text has.

    ``numbers`` are those of the spans that begin at each position; the training text is at the beginning.
    """
    known = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
    known[numbers[: max(0, training_size - length + 1)]] = True
    begins = np.flatnonzero(known[numbers[training_size:]]) + training_size
    depth = np.bincount(begins, minlength=size + 1) - np.bincount(begins + length, minlength=size + 1)
    return np.asarray(np.cumsum(depth)[:size] > 0)
