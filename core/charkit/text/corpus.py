"""A text as symbols: encoded once to an anonymous file on disk, memory-mapped, and divided in splits.

The text is read twice, in chunks: first to hash it and see which code points it holds, then to encode
it. Nothing holds the whole text in memory, and no crash leaves a file behind.
"""

from __future__ import annotations

import mmap
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import ConfigurationError, TextError, VocabularySizeError
from charkit.text.encoded_file import EncodedFile, dtype_of
from charkit.text.files import Format, Pass, Source, find_files
from charkit.text.reading_progress import ProgressCallback, ProgressMeter
from charkit.text.vocabulary import CODE_POINTS, UNKNOWN, Kind, Unknown, Vocabulary, unknown_symbols

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
        notices: tuple[str, ...] = (),
    ) -> None:
        self._mapped = mapped
        self._symbols: NDArray[Any] | None = np.frombuffer(mapped, dtype=dtype_of(vocabulary))
        self.vocabulary = vocabulary
        #: Safe as the name of a directory: the stem of the first file, or the name of the folder.
        self.name = name
        #: Of the raw bytes of all files, in the order they were read; hexadecimal.
        self.sha256 = sha256
        #: What reading changed in the text or left out of it, a line for each.
        self.notices = notices
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
        """Lets go of the symbols. The disk space is freed at once, or with the last array that shows them."""
        self._symbols = None
        try:
            self._mapped.close()
        except BufferError:
            # A view of it is still in use; the mapping goes with the view.
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
    progress: ProgressCallback | None = None,
) -> Corpus:
    """Reads and encodes the text that ``data`` names, or Python's own language reference where none is.

    Without a vocabulary one is made of the whole text. With one, its kind (not ``data.vocabulary``) decides
    what a symbol is, and ``extend`` appends to it what the text adds. ``progress`` is called with
    "reading" or "encoding" and the fraction done, a few times per second.

    Raises TextError for a text that is missing, empty, unreadable or not in its encoding, VocabularySizeError
    for one with more distinct characters than ``data.max_vocabulary``, UnknownSymbolsError for symbols that the
    vocabulary lacks unless ``unknown`` is "skip", and StorageError where the encoded text can't be written.
    """
    return _encode(_find_text(data), vocabulary, unknown, extend, progress)


def open_string(
    text: str,
    data: DataConfig,
    vocabulary: Vocabulary | None = None,
    *,
    unknown: Unknown = "error",
    extend: bool = False,
    progress: ProgressCallback | None = None,
) -> Corpus:
    """Encodes text given from Python, as ``open_corpus`` does a file of its UTF-8 bytes; same errors."""
    found = _Text([Source.of_string(text)], data, "text", "utf-8")
    return _encode(found, vocabulary, unknown, extend, progress)


def first_symbols(data: DataConfig, vocabulary: Vocabulary, count: int) -> NDArray[np.int32]:
    """The first ``count`` symbols of the text that the vocabulary has, int32 (symbol,); fewer if there are fewer.

    ``data`` names the text as for ``open_corpus``. It is read no further than needed, and other symbols are left out.
    Raises TextError.
    """
    found: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
    for points in _find_text(data).read(vocabulary.kind):
        indices = vocabulary.lookup[points]
        found.append(indices[indices != UNKNOWN])
        if sum(each.size for each in found) >= count:
            break
    return np.concatenate(found)[:count]


@dataclass(frozen=True)
class _Text:
    """The sources of a text, how to read them, and what to call it."""

    sources: Sequence[Source]
    data: DataConfig
    name: str
    encoding: str
    notices: tuple[str, ...] = ()

    def read(self, kind: Kind) -> Pass:
        """A new reading of it as symbols of this kind."""
        return Pass(self.sources, Format(kind, self.encoding, self.data.newlines))


def _find_text(data: DataConfig) -> _Text:
    if data.text:
        sources = [Source.of_file(path) for path in find_files(data.text, data.glob)]
        return _Text(sources, data, _safe_name(Path(data.text[0])), data.encoding)
    return _python_reference(data)


def _python_reference(data: DataConfig) -> _Text:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise TextError(
            "no text was given, and this Python lacks its language reference, the text by default; "
            "give the path of a text file or folder"
        ) from error
    source = Source.of_string("".join(topics[key] for key in sorted(topics)), "Python's language reference")
    notice = f"no text was given, so this is the language reference of Python {platform.python_version()}"
    return _Text([source], data, "python-reference", "utf-8", (notice,))


def _safe_name(path: Path) -> str:
    """Returns the stem of a file, or the name of a folder, without what a directory name should not hold."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:NAME_CHARACTERS_AT_MOST] or "text"


def _encode(
    text: _Text,
    vocabulary: Vocabulary | None,
    unknown: Unknown,
    extend: bool,
    progress: ProgressCallback | None,
) -> Corpus:
    kind = vocabulary.kind if vocabulary else text.data.vocabulary
    first, second = text.read(kind), text.read(kind)
    count, seen = _scan(first, ProgressMeter("reading", first.total_bytes, progress))
    if count == 0:
        raise TextError(f"{_labels(text.sources)} is empty; give a text with something in it")
    if vocabulary is None or extend:
        vocabulary = _choose_vocabulary(vocabulary, kind, seen)
        if vocabulary.kind == "char" and vocabulary.size > text.data.max_vocabulary:
            raise VocabularySizeError(vocabulary.size, text.data.max_vocabulary, count)
    meter = ProgressMeter("encoding", second.total_bytes, progress)
    with EncodedFile(vocabulary, count) as file:
        for (
            points
        ) in second:  # callbacks are called from here, so that no error of theirs is taken for the disk's
            file.write(points)
            meter.update(second.read_bytes)
        meter.finish()
        if second.sha256 != first.sha256:
            raise TextError("the text changed while it was read; start again when nothing writes to it")
        skipped = _check_missing(file.missing, unknown, count)
        return Corpus(
            file.mapped(),
            vocabulary,
            text.data,
            name=text.name,
            sha256=first.sha256,
            notices=text.notices + first.notices + skipped,
        )


def _labels(sources: Sequence[Source]) -> str:
    return sources[0].label if len(sources) == 1 else f"the text ({len(sources)} files)"


def _scan(text: Pass, meter: ProgressMeter) -> tuple[int, NDArray[np.intp]]:
    """Reads the whole text; returns how many symbols it has, and which code points or bytes, sorted."""
    seen = np.zeros(CODE_POINTS, dtype=np.bool_)
    count = 0
    for points in text:
        seen[points] = True
        count += points.size
        meter.update(text.read_bytes)
    meter.finish()
    return count, np.flatnonzero(seen)


def _choose_vocabulary(given: Vocabulary | None, kind: Kind, seen: NDArray[np.intp]) -> Vocabulary:
    if given is not None:
        return given.extended_with(seen)
    if kind == "byte":
        return Vocabulary.bytes()
    if seen.size == 1:
        raise TextError(
            f"the text holds one distinct symbol only, {chr(int(seen[0]))!r}; a model takes at least two"
        )
    return Vocabulary.of_code_points(seen)


def _check_missing(missing: Counter[int], unknown: Unknown, count: int) -> tuple[str, ...]:
    """A notice of how many symbols were skipped, if any. Raises TextError where all were, UnknownSymbolsError."""
    if not missing:
        return ()
    if unknown == "error":
        raise unknown_symbols(missing)
    if missing.total() == count:
        raise TextError(
            "every symbol of the text was skipped, since the vocabulary lacks them all; "
            "give a text like the one that the vocabulary was made of"
        )
    return (f"symbols skipped, which the vocabulary lacks: {missing.total():,} of {count:,}",)


def training_size(size: int, data: DataConfig) -> int:
    """The symbols of the training split of a text with so many symbols in all."""
    return _divide(size, data)["train"][1]


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
