"""How a text becomes symbols in a file, without ever being in memory as a whole.

A text that can be read again is read twice, in chunks: first to hash it and see which code points it holds, then to
encode it; one that changed meanwhile is refused. A text that comes over a network or a pipe is read once: new code
points get the next free index, and at the end the file is rewritten in place with the indices of the vocabulary. Bytes
are read once too.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.errors import TextError, VocabularySizeError
from charkit.text.ascii_text import SeenPoints
from charkit.text.encoded_file import EncodedFile, SymbolsFile, dtype_for
from charkit.text.files import Changes, Pass, text_changed
from charkit.text.reading_progress import ProgressCallback, ProgressMeter
from charkit.text.sources import SourceText
from charkit.text.vocabulary import CODE_POINTS, UNKNOWN, Kind, Unknown, Vocabulary, unknown_symbols

#: Symbols that are rewritten at once.
CHUNK_SYMBOLS = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What a text is encoded to: the vocabulary, if there is one, and what becomes of symbols that it lacks."""

    vocabulary: Vocabulary | None = None
    unknown: Unknown = "error"
    extend: bool = False
    progress: ProgressCallback | None = None


@dataclass(frozen=True)
class Encoded:
    """A text that was encoded: the symbols, and what was read. ``sha256`` is that of the raw bytes of all files."""

    mapped: mmap.mmap
    vocabulary: Vocabulary
    sha256: str
    source_bytes: int
    changes: Changes
    notices: tuple[str, ...]


def encode(text: SourceText, wanted: Wanted, make_file: Callable[[], SymbolsFile]) -> Encoded:
    """Reads and encodes a text. Raises TextError and StorageError."""
    kind = wanted.vocabulary.kind if wanted.vocabulary else text.data.vocabulary
    twice = text.again and kind != "byte"  # the vocabulary of bytes is known
    return (_encode_twice if twice else _encode_once)(text, kind, wanted, make_file)


def _encode_twice(
    text: SourceText, kind: Kind, wanted: Wanted, make_file: Callable[[], SymbolsFile]
) -> Encoded:
    first, second = text.read(kind), text.read(kind)
    count, seen = _scan(first, ProgressMeter("reading", first.total_bytes, wanted.progress))
    check_count(text.label, count)
    vocabulary = _choose_vocabulary(wanted, kind, seen)
    check_size(vocabulary, text.data.max_vocabulary, count, wanted)
    meter = ProgressMeter("encoding", second.total_bytes, wanted.progress)
    with make_file() as file:
        encoded = EncodedFile(file, vocabulary, count)
        for (
            points
        ) in second:  # not inside of ``storing``, so that no error of a callback is taken for the disk's
            encoded.write(points)
            meter.update(second.read_bytes)
        meter.finish()
        if second.sha256 != first.sha256:
            raise text_changed()
        skipped = check_missing(encoded.missing, wanted.unknown, count)
        return _encoded(file, vocabulary, first, skipped)


def _encode_once(
    text: SourceText, kind: Kind, wanted: Wanted, make_file: Callable[[], SymbolsFile]
) -> Encoded:
    reading = text.read(kind)
    meter = ProgressMeter("reading", reading.total_bytes, wanted.progress)
    with make_file() as file:
        fixed = Vocabulary.bytes() if kind == "byte" else None if wanted.extend else wanted.vocabulary
        growing = _GrowingFile(file, wanted.vocabulary, text.data.max_vocabulary)
        encoded = None if fixed is None else EncodedFile(file, fixed, reading.total_bytes)
        count = 0
        for points in reading:
            count += points.size
            (growing if encoded is None else encoded).write(points)
            meter.update(reading.read_bytes)
        meter.finish()
        check_count(text.label, count)
        if fixed is not None and encoded is not None:
            skipped = check_missing(encoded.missing, wanted.unknown, count)
            return _encoded(file, fixed, reading, skipped)
        vocabulary = _choose_vocabulary(wanted, kind, growing.seen)
        check_size(vocabulary, text.data.max_vocabulary, count, wanted)
        growing.renumber(vocabulary, ProgressMeter("encoding", count, wanted.progress))
        return _encoded(file, vocabulary, reading, ())


def _encoded(file: SymbolsFile, vocabulary: Vocabulary, read: Pass, skipped: tuple[str, ...]) -> Encoded:
    return Encoded(file.mapped(), vocabulary, read.sha256, read.read_bytes, read.changes, skipped)


def encode_points(
    chunks: Iterable[NDArray[Any]], vocabulary: Vocabulary, count: int, unknown: Unknown, file: SymbolsFile
) -> tuple[mmap.mmap, tuple[str, ...]]:
    """Writes code points as indices of a vocabulary; returns the map of them, and notices of what was skipped."""
    encoded = EncodedFile(file, vocabulary, count)
    for points in chunks:
        encoded.write(points)
    skipped = check_missing(encoded.missing, unknown, count)
    return file.mapped(), skipped


class _GrowingFile:
    """Symbols that get the next free index when they are first met, in a file that is renumbered at the end.

    ``most`` is how many symbols a vocabulary may have; what comes after more is not written, since it will be refused.
    """

    def __init__(self, target: SymbolsFile, vocabulary: Vocabulary | None, most: int) -> None:
        self._target = target
        self._table = np.full(CODE_POINTS, UNKNOWN, np.int32)
        self._points: list[int] = vocabulary.points.tolist() if vocabulary else []
        self._table[self._points] = np.arange(len(self._points))
        self._most = most
        self._met = np.zeros(CODE_POINTS, np.bool_)
        self._count = 0
        self._dtype = dtype_for(max(1, len(self._points)))

    @property
    def seen(self) -> NDArray[np.intp]:
        """The code points that were met, sorted."""
        return np.flatnonzero(self._met)

    def write(self, points: NDArray[Any]) -> None:
        """Appends code points, (time,). Raises StorageError."""
        self._met[points] = True
        if (new := np.unique(points[self._table[points] == UNKNOWN])).size:
            self._table[new] = np.arange(len(self._points), len(self._points) + new.size)
            self._points += new.tolist()
        if len(self._points) > self._most:
            return
        if self._dtype != (needed := dtype_for(max(1, len(self._points)))):
            self._rewrite(needed, lambda symbols: symbols, backwards=True)
        with self._target.storing():
            self._target.file.write(memoryview(self._table[points].astype(self._dtype)))
        self._count += points.size

    def renumber(self, vocabulary: Vocabulary, meter: ProgressMeter) -> None:
        """Gives every symbol the index that it has in the vocabulary. Raises StorageError."""
        table = vocabulary.lookup[np.array(self._points, np.intp)]
        if not np.array_equal(table, np.arange(table.size)):
            self._rewrite(self._dtype, lambda symbols: table[symbols], meter=meter)
        meter.finish()

    def _rewrite(
        self,
        dtype: np.dtype[Any],
        convert: Callable[[NDArray[Any]], NDArray[Any]],
        *,
        backwards: bool = False,
        meter: ProgressMeter | None = None,
    ) -> None:
        """Converts what was written, in place: from its end where it becomes longer, so that nothing is overwritten."""
        file, before = self._target.file, self._dtype
        starts: Sequence[int] = range(0, self._count, CHUNK_SYMBOLS)
        for done, start in enumerate(reversed(starts) if backwards else starts):
            with self._target.storing():
                file.seek(start * before.itemsize)
                size = min(CHUNK_SYMBOLS, self._count - start) * before.itemsize
                symbols = np.frombuffer(file.read(size), before)
                file.seek(start * dtype.itemsize)
                file.write(convert(symbols).astype(dtype).data)
            if meter is not None:
                meter.update(done * CHUNK_SYMBOLS)
        self._dtype = dtype
        with self._target.storing():
            file.seek(self._count * dtype.itemsize)


def _scan(text: Pass, meter: ProgressMeter) -> tuple[int, NDArray[np.intp]]:
    """Reads the whole text; returns how many symbols it has, and which code points, sorted."""
    seen, count = SeenPoints(), 0
    for points in text:
        seen.add(points)
        count += points.size
        meter.update(text.read_bytes)
    meter.finish()
    return count, seen.sorted()


def check_count(label: str, count: int) -> None:
    """Raises TextError for a text without a symbol."""
    if count == 0:
        raise TextError(f"{label} is empty; give a text with at least two different characters")


def check_size(vocabulary: Vocabulary, most: int, count: int, wanted: Wanted) -> None:
    """Raises VocabularySizeError for more characters than are allowed, unless the vocabulary was given."""
    made = wanted.vocabulary is None or wanted.extend
    if made and vocabulary.kind == "char" and vocabulary.size > most:
        raise VocabularySizeError(vocabulary.size, most, count)


def _choose_vocabulary(wanted: Wanted, kind: Kind, seen: NDArray[np.intp]) -> Vocabulary:
    if wanted.vocabulary is not None:
        return wanted.vocabulary.extended_with(seen) if wanted.extend else wanted.vocabulary
    if kind == "byte":
        return Vocabulary.bytes()
    if seen.size == 1:
        raise TextError(
            f"the text has only one distinct symbol, {chr(int(seen[0]))!r}; give a text with at least two different "
            "characters"
        )
    return Vocabulary.of_code_points(seen)


def check_missing(missing: Counter[int], unknown: Unknown, count: int) -> tuple[str, ...]:
    """A notice of how many symbols were skipped, if any. Raises TextError where all were, UnknownSymbolsError."""
    if not missing:
        return ()
    if unknown == "error":
        raise unknown_symbols(missing)
    if missing.total() == count:
        raise TextError(
            "every symbol of the text was skipped, because the vocabulary has none of them; "
            "give a text similar to the one that the vocabulary was built from"
        )
    return (f"skipped symbols that the vocabulary lacks: {missing.total():,} of {count:,}",)
