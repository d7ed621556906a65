"""Symbols and the integers that represent them.

A symbol is a Unicode code point (kind "char", indices in code-point order) or one of the 256 byte
values (kind "byte", the index is the value). Both give text back, whole or as a stream.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from charkit.config import first_problem
from charkit.errors import ConfigurationError, RunError, TextError, UnknownSymbolsError, shown
from charkit.strict_json import parse_json

Kind = Literal["char", "byte"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Unknown = Literal["error", "skip"]

#: One more than the highest Unicode code point.
CODE_POINTS = 0x110000
#: What the lookup table holds for a code point that the vocabulary lacks.
UNKNOWN = -1
FORMAT = 1
NAMED_AT_MOST = 8
#: What a file holds, decoded or not.
JsonText = str | bytes


class StreamDecoder(Protocol):
    """Decodes indices one at a time, never returning part of a character."""

    def feed(self, index: int) -> str:
        """Takes the next index and returns the text that it completes, which may be empty.

        Raises IndexError for an index outside the vocabulary.
        """

    def finish(self) -> str:
        """Returns U+FFFD if the last character is incomplete, otherwise an empty string."""


@dataclass(frozen=True)
class Vocabulary:
    """The symbols of a model, in the order of their indices. Compared and hashed by content.

    ``Vocabulary.of_text`` makes one from a text. Raises ConfigurationError if the kind or the symbols are invalid.
    """

    kind: Kind
    #: The code points, each a string of length one; empty for bytes, which are their own indices.
    symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(
                f"kind must be 'char' or 'byte'; given {shown(self.kind)}; "
                "to get the vocabulary of a text, use Vocabulary.of_text(text)"
            )
        problem = _problem(self.kind, self.symbols)
        if problem is not None:
            raise ConfigurationError(f"invalid vocabulary: {problem}")

    @classmethod
    def bytes(cls) -> Vocabulary:
        """Returns the vocabulary of the 256 byte values."""
        return cls("byte")

    @classmethod
    def of_text(cls, text: str) -> Vocabulary:
        """Returns the sorted vocabulary of a text that isn't empty. Raises TextError for a lone surrogate."""
        return cls.of_code_points(code_points(text))

    @classmethod
    def of_code_points(cls, points: NDArray[np.integer[Any]]) -> Vocabulary:
        """Returns the sorted vocabulary of code points of any shape. Raises ConfigurationError for a surrogate."""
        return cls("char", tuple(map(chr, np.unique(points).tolist())))

    @cached_property
    def size(self) -> int:
        """The number of symbols."""
        return 256 if self.kind == "byte" else len(self.symbols)

    @cached_property
    def points(self) -> NDArray[np.uint32]:
        """The code point, or the byte value, of each symbol; (size,), read-only."""
        if self.kind == "byte":
            return _frozen(np.arange(256, dtype=np.uint32))
        return _frozen(np.array([ord(symbol) for symbol in self.symbols], dtype=np.uint32))

    @cached_property
    def lookup(self) -> NDArray[np.int32]:
        """The index of each code point (or byte value), else UNKNOWN; (CODE_POINTS,), read-only."""
        table = np.full(CODE_POINTS, UNKNOWN, dtype=np.int32)
        table[self.points] = np.arange(self.size, dtype=np.int32)
        return _frozen(table)

    @cached_property
    def byte_lengths(self) -> NDArray[np.int64]:
        """UTF-8 bytes of each symbol; (size,), read-only."""
        lengths = np.ones(self.size, dtype=np.int64)
        if self.kind == "char":
            for first_longer in (0x80, 0x800, 0x10000):
                lengths += self.points >= first_longer
        return _frozen(lengths)

    @cached_property
    def starts_character(self) -> NDArray[np.bool_]:
        """Whether each symbol begins a character: all but UTF-8's continuation bytes; (size,), read-only."""
        if self.kind == "byte":
            return _frozen((self.points & 0xC0) != 0x80)
        return _frozen(np.ones(self.size, dtype=np.bool_))

    def encode(self, text: str, unknown: Unknown = "error") -> tuple[NDArray[np.int32], int]:
        """Returns the indices of the text, int32 (time,), and how many symbols were skipped.

        Byte mode encodes the text as UTF-8. Raises UnknownSymbolsError for symbols that the vocabulary
        lacks, unless ``unknown`` is "skip", and TextError for a lone surrogate.
        """
        if self.kind == "byte":
            return np.frombuffer(utf8(text), dtype=np.uint8).astype(np.int32), 0
        points = code_points(text)
        indices = self.lookup[points]
        missing = indices == UNKNOWN
        if not missing.any():
            return indices, 0
        if unknown == "error":
            raise unknown_symbols(count_points(points[missing]))
        return indices[~missing], int(missing.sum())

    def decode(self, indices: ArrayLike) -> str:
        """Returns the text of ``indices`` (time,); in byte mode, invalid UTF-8 becomes U+FFFD.

        Raises IndexError for an index outside the vocabulary.
        """
        array = np.asarray(indices, dtype=np.int64).ravel()
        if array.size and not 0 <= array.min() <= array.max() < self.size:
            raise IndexError(
                f"indices must be from 0 to {self.size - 1}; given {array.min()} to {array.max()}"
            )
        points = self.points[array]
        if self.kind == "byte":
            return points.astype(np.uint8).tobytes().decode("utf-8", "replace")
        return points.astype("<u4").tobytes().decode("utf-32-le")

    def stream_decoder(self) -> StreamDecoder:
        """Returns a new decoder for indices that arrive one at a time."""
        return _ByteStreamDecoder() if self.kind == "byte" else _CharStreamDecoder(self.symbols)

    def extended_with(self, more: str | NDArray[np.integer[Any]]) -> Vocabulary:
        """Appends the new symbols of ``more`` (text or code points), sorted; existing indices keep their meaning.

        A byte vocabulary is already complete and returns itself. Raises TextError for a lone surrogate in a text, and
        ValueError for a number that is not a code point.
        """
        if self.kind == "byte":
            return self
        points = code_points(more) if isinstance(more, str) else more
        new = np.setdiff1d(points, self.points)
        return Vocabulary("char", self.symbols + tuple(map(chr, new.tolist()))) if new.size else self

    def to_json(self) -> str:
        """Returns the content of ``vocabulary.json``: one line of ASCII, the same for equal vocabularies."""
        return json.dumps({"format": FORMAT, "kind": self.kind, "symbols": self.symbols}) + "\n"

    @classmethod
    def from_json(cls, text: JsonText) -> Vocabulary:
        """Reads what ``to_json`` wrote. Raises RunError, in one line, for anything else."""
        try:
            stored = _Stored.model_validate(parse_json(text))
        except ValidationError as error:
            raise RunError(f"the vocabulary is damaged: {first_problem(error)}") from error
        except ValueError as error:
            raise RunError(f"the vocabulary is damaged: {error}") from error
        if stored.format != FORMAT:
            raise RunError(
                f"the vocabulary is in format {stored.format}, but this version of charkit reads format {FORMAT}; "
                "use a later version of charkit"
            )
        problem = _problem(stored.kind, tuple(stored.symbols))
        if problem is not None:
            raise RunError(f"the vocabulary is damaged: {problem}")
        return cls(stored.kind, tuple(stored.symbols))


class _Stored(BaseModel):
    """The schema of ``vocabulary.json``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: int
    kind: Kind
    symbols: list[str]


def _problem(kind: Kind, symbols: tuple[str, ...]) -> str | None:
    """What is wrong with the symbols of a vocabulary, None if nothing is."""
    if not isinstance(symbols, tuple):
        return f"the symbols must be a tuple; given {shown(symbols)}"
    if kind == "byte":
        return "a vocabulary of kind 'byte' must not list symbols" if symbols else None
    seen: set[str] = set()
    for symbol in symbols:
        if not isinstance(symbol, str) or len(symbol) != 1:
            return f"{shown(symbol)} is not a single code point"
        if 0xD800 <= ord(symbol) <= 0xDFFF:
            return f"U+{ord(symbol):04X} is half of a surrogate pair"
        if symbol in seen:
            return f"{symbol!r} is listed twice"
        seen.add(symbol)
    return None if symbols else "it lists no symbols"


class _CharStreamDecoder:
    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols

    def feed(self, index: int) -> str:
        _check_index(index, len(self._symbols))
        return self._symbols[index]

    def finish(self) -> str:
        return ""


class _ByteStreamDecoder:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, index: int) -> str:
        _check_index(index, 256)
        return self._decoder.decode(bytes((index,)))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise IndexError(f"indices must be from 0 to {size - 1}; given {index}")


def code_points(text: str) -> NDArray[np.uint32]:
    """Returns the code points of the text, uint32 (time,). Raises TextError for a lone surrogate."""
    try:
        return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint32, copy=False)
    except UnicodeEncodeError as error:
        raise _lone_surrogate(error) from error


def utf8(text: str) -> bytes:
    """Returns the text as UTF-8. Raises TextError for a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _lone_surrogate(error) from error


def _lone_surrogate(error: UnicodeEncodeError) -> TextError:
    point = ord(error.object[error.start])
    # Python marks a byte of argv or of a file name that is not UTF-8 as U+DC00 plus the byte.
    what = (
        f"the byte 0x{point - 0xDC00:02x}, which is"
        if 0xDC80 <= point <= 0xDCFF
        else f"U+{point:04X}, which is"
    )
    return TextError(
        f"at position {error.start}, the text contains {what} not a character; give text that is valid Unicode"
    )


def count_points(points: NDArray[np.integer[Any]]) -> dict[int, int]:
    """Returns how often each code point occurs in ``points``."""
    values, counts = np.unique(points, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def unknown_symbols(counts: Mapping[int, int]) -> UnknownSymbolsError:
    """Makes the error for code points that the vocabulary lacks, given how often each occurs."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{chr(point)!r} ({count:,})" for point, count in ranked[:NAMED_AT_MOST])
    more = f" and {len(ranked) - NAMED_AT_MOST:,} more" if len(ranked) > NAMED_AT_MOST else ""
    return UnknownSymbolsError(
        f"the text contains symbols that the vocabulary lacks (counts in parentheses): {named}{more}",
        "remove them from the text, or skip and count them with `unknown='skip'`",
    )


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
