"""A text as symbols: encoded once to an anonymous file on disk, memory-mapped, and divided in splits.

The text is read twice, in chunks: first to hash it and see which code points it holds, then to encode
it. Nothing holds the whole text in memory, and no crash leaves a file behind.
"""

from __future__ import annotations

import mmap
import os
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import ConfigurationError, StorageError, TextError
from charkit.text.files import Format, Pass, Progress, Source, find_files
from charkit.text.vocabulary import CODE_POINTS, UNKNOWN, Unknown, Vocabulary, count_points, unknown_symbols

Split = Literal["train", "validation", "test", "all"]

NAME_CHARACTERS_AT_MOST = 60


class Corpus:
    """An encoded text, its vocabulary and its splits. A context manager; closing gives the disk back."""

    def __init__(
        self,
        mapped: mmap.mmap,
        vocabulary: Vocabulary,
        data: DataConfig,
        *,
        name: str,
        sha256: str,
        notes: tuple[str, ...] = (),
        skipped: int = 0,
    ) -> None:
        self._mapped = mapped
        self._symbols: NDArray[Any] | None = np.frombuffer(mapped, dtype=dtype_of(vocabulary))
        self.vocabulary = vocabulary
        #: Safe as the name of a directory: the stem of the first file, or the name of the folder.
        self.name = name
        #: Of the raw bytes of all files, in the order they were read; hexadecimal.
        self.sha256 = sha256
        #: What reading changed in the text, a line for each, for people.
        self.notes = notes
        #: Symbols left out because the vocabulary lacks them.
        self.skipped = skipped
        self._splits = _divide(self.symbols.size, data)

    @property
    def symbols(self) -> NDArray[Any]:
        """The indices, (time,), read-only, in the smallest unsigned type that holds the vocabulary's.

        Raises ValueError once the corpus is closed.
        """
        if self._symbols is None:
            raise ValueError("the corpus is closed")
        return self._symbols

    def split(self, name: Split) -> tuple[int, int]:
        """Returns the half-open range of ``symbols`` that is the split; empty where its share is 0."""
        try:
            return self._splits[name]
        except KeyError as error:
            raise ConfigurationError(f"no split {name!r}; splits are {', '.join(self._splits)}") from error

    def release(self) -> None:
        """Gives resident pages back to the system; they come back when they are read again."""
        if not self._mapped.closed and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Gives up the symbols. The disk space is freed at once, or with the last array that shows them."""
        self._symbols = None
        try:
            self._mapped.close()
        except BufferError:
            # Someone still holds a view; the mapping goes with it.
            return

    def __enter__(self) -> Corpus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_corpus(
    data: DataConfig,
    vocabulary: Vocabulary | None = None,
    *,
    unknown: Unknown = "error",
    extend: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Reads and encodes the text that ``data`` names, or Python's own language reference where none is.

    Without a vocabulary one is made of the whole text. With one, its kind (not ``data.vocabulary``) says
    what a symbol is, and ``extend`` appends to it what the text adds. ``progress`` is called with
    "reading" or "encoding" and the fraction done, a few times per second.

    Raises TextError for a text that is missing, empty, unreadable or not what its encoding says,
    UnknownSymbolsError for symbols that the vocabulary lacks unless ``unknown`` is "skip", and StorageError
    where the encoded text can't be written.
    """
    if data.text:
        sources = [Source.of_file(path) for path in find_files(data.text, data.glob)]
        reading = _Reading(sources, data, _safe_name(Path(data.text[0])), data.encoding)
    else:
        reading = _python_reference(data)
    return _encode(reading, vocabulary, unknown, extend, progress)


def open_string(
    text: str, data: DataConfig, vocabulary: Vocabulary | None = None, unknown: Unknown = "error"
) -> Corpus:
    """Encodes text given from Python, as ``open_corpus`` does a file of its UTF-8 bytes; same errors."""
    reading = _Reading([Source.of_string(text)], data, "text", "utf-8")
    return _encode(reading, vocabulary, unknown, extend=False, progress=None)


@dataclass(frozen=True)
class _Reading:
    """What is to be read, and what to call it."""

    sources: Sequence[Source]
    data: DataConfig
    name: str
    encoding: str
    notes: tuple[str, ...] = ()


def _python_reference(data: DataConfig) -> _Reading:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise TextError(
            "no text was given, and this Python lacks its language reference, the text by default; "
            "give the path of a text file or folder"
        ) from error
    source = Source.of_string("".join(topics[key] for key in sorted(topics)), "Python's language reference")
    note = f"no text was given, so this is the language reference of Python {platform.python_version()}"
    return _Reading([source], data, "python-reference", "utf-8", (note,))


def _safe_name(path: Path) -> str:
    """Returns the stem of a file, or the name of a folder, without what a directory name should not hold."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:NAME_CHARACTERS_AT_MOST] or "text"


def _encode(
    reading: _Reading,
    vocabulary: Vocabulary | None,
    unknown: Unknown,
    extend: bool,
    progress: Progress | None,
) -> Corpus:
    kind = vocabulary.kind if vocabulary else reading.data.vocabulary
    form = Format(kind, reading.encoding, reading.data.newlines)
    first = Pass(reading.sources, form, "reading", progress)
    count, seen = _scan(first)
    if count == 0:
        raise TextError(f"{_labels(reading.sources)} is empty; give a text with something in it")
    vocabulary = _choose_vocabulary(vocabulary, kind, seen, extend)
    second = Pass(reading.sources, form, "encoding", progress)
    mapped, missing = _write(second, first.sha256, vocabulary, count, unknown)
    skipped = missing.total()
    note = (f"symbols skipped, which the vocabulary lacks: {skipped:,} of {count:,}",) if skipped else ()
    return Corpus(
        mapped,
        vocabulary,
        reading.data,
        name=reading.name,
        sha256=first.sha256,
        notes=reading.notes + first.notes + note,
        skipped=skipped,
    )


def _labels(sources: Sequence[Source]) -> str:
    return sources[0].label if len(sources) == 1 else f"the text ({len(sources)} files)"


def _scan(text: Pass) -> tuple[int, NDArray[np.intp]]:
    """Reads the whole text; returns how many symbols it has, and which code points or bytes, sorted."""
    seen = np.zeros(CODE_POINTS, dtype=np.bool_)
    count = 0
    for points in text:
        seen[points] = True
        count += points.size
    return count, np.flatnonzero(seen)


def _choose_vocabulary(
    given: Vocabulary | None, kind: str, seen: NDArray[np.intp], extend: bool
) -> Vocabulary:
    if given is not None:
        return given.extended_with(seen) if extend else given
    if kind == "byte":
        return Vocabulary.bytes()
    if seen.size == 1:
        raise TextError(
            f"the text holds one distinct symbol only, {chr(int(seen[0]))!r}; a model takes at least two"
        )
    return Vocabulary.of_code_points(seen)


def dtype_of(vocabulary: Vocabulary) -> np.dtype[Any]:
    """Returns the smallest unsigned integer type that holds every index of the vocabulary."""
    return np.min_scalar_type(vocabulary.size - 1)


def _write(
    text: Pass, expected_sha256: str, vocabulary: Vocabulary, count: int, unknown: Unknown
) -> tuple[mmap.mmap, Counter[int]]:
    """Encodes the text to an anonymous file; returns its memory map, and the counts of what was left out."""
    folder = scratch_folder()
    needed_bytes = count * dtype_of(vocabulary).itemsize
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="charkit-") as file:
            missing = _write_symbols(text, vocabulary, file)
            _check_outcome(text.sha256 == expected_sha256, missing, unknown, empty=missing.total() == count)
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), missing
    except OSError as error:
        raise StorageError(
            f"can't write the encoded text ({needed_bytes:,} bytes) in {str(folder)!r}: "
            f"{error.strerror or error}; make room there, or set CHARKIT_SCRATCH to another folder"
        ) from error


def _write_symbols(text: Pass, vocabulary: Vocabulary, file: BinaryIO) -> Counter[int]:
    """Writes the index of every symbol; returns how often each one that the vocabulary lacks was met."""
    table = vocabulary.lookup
    dtype = dtype_of(vocabulary)
    missing: Counter[int] = Counter()
    for points in text:
        indices = table[points]
        if indices.size and indices.min() == UNKNOWN:
            known = indices != UNKNOWN
            missing.update(count_points(points[~known]))
            indices = indices[known]
        file.write(memoryview(indices.astype(dtype)))
    return missing


def _check_outcome(same: bool, missing: Counter[int], unknown: Unknown, empty: bool) -> None:
    if not same:
        raise TextError("the text changed while it was read; start again when nothing writes to it")
    if missing and unknown == "error":
        raise unknown_symbols(missing)
    if empty:
        raise TextError(
            "every symbol of the text was skipped, since the vocabulary lacks them all; "
            "give a text like the one that the vocabulary was made of"
        )


def scratch_folder() -> Path:
    """Returns the folder for encoded text: $CHARKIT_SCRATCH, else in the user's cache, else the system's.

    The cache comes before the system's temporary folder, since that one is held in memory on some systems.
    Raises StorageError where $CHARKIT_SCRATCH is set and can't be made.
    """
    if chosen := os.environ.get("CHARKIT_SCRATCH"):
        try:
            Path(chosen).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"CHARKIT_SCRATCH is {chosen!r}, which can't be made or is no folder ({error.strerror}); "
                "set it to a folder that you may write to"
            ) from error
        return Path(chosen)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charkit"
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that is read-only, or none at all
        return Path(tempfile.gettempdir())
    return cache if os.access(cache, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _divide(size: int, data: DataConfig) -> dict[str, tuple[int, int]]:
    """Returns the range of each split: train first, with whatever rounding leaves over."""
    validation = round(size * data.validation_share)
    test = round(size * data.test_share)
    train = size - validation - test
    return {
        "train": (0, train),
        "validation": (train, train + validation),
        "test": (train + validation, size),
        "all": (0, size),
    }
