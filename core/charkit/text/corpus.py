"""A text as symbols: encoded once to an anonymous file on disk, memory-mapped, and divided in splits.

Nothing holds the whole text in memory, and no crash leaves a file behind. A prepared text, which is encoded already,
is mapped as it is.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import ConfigurationError
from charkit.text.encoded_file import SymbolsFile, dtype_of
from charkit.text.encoding import Wanted, check_size, encode, encode_points
from charkit.text.files import Changes, Source
from charkit.text.prepared import LocalFolder, PreparedText
from charkit.text.reading_progress import ProgressCallback, ProgressMeter, own_errors
from charkit.text.sources import SourceText, find_text
from charkit.text.vocabulary import UNKNOWN, Unknown, Vocabulary

Split = Literal["train", "validation", "test", "all"]

MakeFile = Callable[[], SymbolsFile]


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
        source_bytes: int = 0,
        files: tuple[str, ...] = (),
        changes: Changes = Changes(),  # noqa: B008 - frozen
        notices: tuple[str, ...] = (),
    ) -> None:
        self._mapped = mapped
        self._symbols: NDArray[Any] | None = np.frombuffer(mapped, dtype=dtype_of(vocabulary))
        self.vocabulary = vocabulary
        #: Safe as the name of a directory: the stem of the first file, or the name of the folder.
        self.name = name
        #: Of the raw bytes of all files, in the order they were read; hexadecimal.
        self.sha256 = sha256
        #: The number of those bytes.
        self.source_bytes = source_bytes
        #: The files that were read, as they may be shown and recorded; none for text that was no file.
        self.files = files
        #: How often reading changed the text.
        self.changes = changes
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
            raise ConfigurationError(
                f"unknown split {name!r}; choose from {', '.join(self._splits)}"
            ) from error

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

    Raises TextError for a text that is missing, empty, unreadable or not in its encoding, for one that was prepared
    with other settings, and for one whose server or store does not give it; VocabularySizeError
    for one with more distinct characters than ``data.max_vocabulary``, UnknownSymbolsError for symbols that the
    vocabulary lacks unless ``unknown`` is "skip", and StorageError where the encoded text can't be written.
    """
    if vocabulary is not None:
        data = data.model_copy(update={"vocabulary": vocabulary.kind})
    found = find_text(data)
    with own_errors(progress) as report:
        wanted = Wanted(vocabulary, unknown, extend, report)
        if isinstance(found, PreparedText):
            return _open_prepared(found, data, wanted)
        return open_source(found, wanted, SymbolsFile.without_name)


def open_string(
    text: str,
    data: DataConfig,
    vocabulary: Vocabulary | None = None,
    *,
    unknown: Unknown = "error",
    extend: bool = False,
    progress: ProgressCallback | None = None,
) -> Corpus:
    """Encodes text given from Python, as ``open_corpus`` does a file of its UTF-8 bytes; same errors.

    Raises ConfigurationError for anything but a str.
    """
    if not isinstance(text, str):
        advice = ""
        if isinstance(text, bytes | bytearray):
            advice = "; decode bytes first, as in data.decode('utf-8')"
        elif hasattr(text, "read"):
            advice = "; read the file first, as in file.read()"
        elif isinstance(text, Iterable):
            advice = "; join texts first, as in '\\n'.join(texts)"
        raise ConfigurationError(f"`string` must be the text as a str; given {type(text).__name__}{advice}")
    found = SourceText([Source.of_string(text)], data, "text", "utf-8")
    return open_source(found, Wanted(vocabulary, unknown, extend, progress), SymbolsFile.without_name)


def first_symbols(data: DataConfig, vocabulary: Vocabulary, count: int) -> NDArray[np.int32]:
    """The first ``count`` symbols of the text that the vocabulary has, int32 (symbol,); fewer if there are fewer.

    ``data`` names the text as for ``open_corpus``. It is read no further than needed, and other symbols are left out.
    Raises TextError.
    """
    text = find_text(data.model_copy(update={"vocabulary": vocabulary.kind}))
    if isinstance(text, PreparedText):
        chunks = text.points(ProgressMeter("reading", 0, None))
    else:
        chunks = iter(text.read(vocabulary.kind))
    found: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
    for points in chunks:
        indices = vocabulary.lookup[points]
        found.append(indices[indices != UNKNOWN])
        if sum(each.size for each in found) >= count:
            break
    return np.concatenate(found)[:count]


def open_source(text: SourceText, wanted: Wanted, make_file: MakeFile) -> Corpus:
    """Encodes a text that was found into a file. Raises TextError and StorageError."""
    encoded = encode(text, wanted, make_file)
    return Corpus(
        encoded.mapped,
        encoded.vocabulary,
        text.data,
        name=text.name,
        sha256=encoded.sha256,
        source_bytes=encoded.source_bytes,
        files=text.files,
        changes=encoded.changes,
        notices=text.notices + encoded.changes.notices + encoded.notices,
    )


def _open_prepared(text: PreparedText, data: DataConfig, wanted: Wanted) -> Corpus:
    """The prepared text, mapped as it is where that is possible. Raises TextError and StorageError."""
    vocabulary = wanted.vocabulary or text.vocabulary
    if wanted.extend:
        vocabulary = vocabulary.extended_with(text.vocabulary.points)
    check_size(vocabulary, data.max_vocabulary, text.manifest.symbols.count, wanted)
    meter = ProgressMeter("reading", text.manifest.symbols.bytes, wanted.progress)
    if vocabulary == text.vocabulary and isinstance(text.folder, LocalFolder):
        return corpus_of_prepared(text, text.map(meter), vocabulary, data)
    mapped, skipped = copy_prepared(text, vocabulary, wanted.unknown, meter, SymbolsFile.without_name)
    return corpus_of_prepared(text, mapped, vocabulary, data, skipped)


def copy_prepared(
    text: PreparedText, vocabulary: Vocabulary, unknown: Unknown, meter: ProgressMeter, make_file: MakeFile
) -> tuple[mmap.mmap, tuple[str, ...]]:
    """The symbols as those of a vocabulary, in a file; returns the map of it, and notices of what was skipped."""
    with make_file() as file:
        count = text.manifest.symbols.count
        return encode_points(text.points(meter), vocabulary, count, unknown, file)


def corpus_of_prepared(
    text: PreparedText,
    mapped: mmap.mmap,
    vocabulary: Vocabulary,
    data: DataConfig,
    skipped: tuple[str, ...] = (),
) -> Corpus:
    """The corpus of a prepared text whose symbols are mapped."""
    return Corpus(
        mapped,
        vocabulary,
        data,
        name=text.manifest.name,
        sha256=text.manifest.source.sha256,
        source_bytes=text.manifest.source.bytes,
        files=(text.folder.location,),
        changes=text.changes,
        notices=text.changes.notices + skipped,
    )


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
