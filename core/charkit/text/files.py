"""Raw text, from files or from Python, read in chunks as code points or bytes.

A Pass reads every source once, in order, and never holds more than a few chunks. Whatever is wrong
with the text (unreadable, not in its encoding, binary) is a TextError of one line.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from charkit.errors import TextError
from charkit.text.line_ends import LineEnds
from charkit.text.locations import absolute_path
from charkit.text.vocabulary import Kind, code_points, utf8

CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff"
TWO_WAYS_OUT = "read it as bytes with `vocabulary='byte'`, or name its encoding with `encoding`"


@dataclass(frozen=True)
class Source:
    """A stretch of raw bytes: what to call it in messages, how to open it, and its size in bytes, 0 if not known.

    ``again`` is whether it can be read more than once, at no cost that matters.
    """

    label: str
    open: Callable[[], BinaryIO]
    size: int
    again: bool = True

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """The content of a file. Raises TextError where the file can't be looked at."""
        return cls(
            repr(str(path)), lambda: cast(BinaryIO, path.open("rb", buffering=0)), _status(path).st_size
        )

    @classmethod
    def of_string(cls, text: str, label: str = "the text") -> Source:
        """The UTF-8 bytes of a string. Raises TextError for a lone surrogate."""
        raw = utf8(text)
        return cls(label, lambda: io.BytesIO(raw), len(raw))


@dataclass(frozen=True)
class Format:
    """How raw bytes become symbols. Kind "byte" ignores the encoding and the line ends."""

    kind: Kind
    encoding: str
    newlines: Literal["lf", "keep"]

    def __post_init__(self) -> None:
        if self.kind == "char":
            check_encoding(self.encoding)


def check_encoding(name: str) -> None:
    """Raises TextError unless ``name`` is an encoding of text that Python can read in pieces."""
    try:
        found = codecs.lookup(name)
        codecs.getincrementaldecoder(name)
        "a".encode(name)  # refuses base64, rot13 and others that are no encodings of text
        if found.name == "punycode":
            raise LookupError("decoding it in pieces gives a different text than decoding it whole")
    except (LookupError, ValueError) as error:
        raise TextError(
            f"{name!r} is not a text encoding that Python knows; give one such as utf-8, cp1252 or utf-16"
        ) from error


def find_files(texts: Sequence[str], globs: Sequence[str]) -> tuple[Path, ...]:
    """Returns the given files, and those in the given folders that match one of ``globs``, sorted, each once.

    The order is that of the absolute paths, as a run records them: they are read in the same order again. A file that
    is found under several names, as links have them, is read under the first of them in that order, so the order of the
    arguments and that of a folder's entries make no difference. Folders are searched with all that is in them.

    Raises TextError for a path that is missing or not a file or folder, and for a folder without a match. What can't be
    read in a folder is left out: see ``unreadable_folders``.
    """
    places: list[tuple[Path, Path]] = []
    for text in texts:
        path = Path(text)
        mode = _status(path).st_mode
        if stat.S_ISDIR(mode):
            paths = _files_in(path, globs)
        elif stat.S_ISREG(mode):
            paths = [path]
        else:
            raise TextError(
                f"{text!r} is not a regular file; a text is read twice, so give a regular file or a directory"
            )
        places += [(absolute_path(path) / each.relative_to(path), each) for each in paths]
    found: dict[Path, Path] = {}
    for _, each in sorted(places, key=itemgetter(0)):
        found.setdefault(each.resolve(), each)
    return tuple(found.values())


def _status(path: Path) -> Any:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TextError(f"no text at {str(path)!r}; give the path of a text file or directory") from error
    except (OSError, ValueError) as error:
        raise _unreadable(repr(str(path)), error) from error


def _files_in(folder: Path, globs: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for glob in globs:
        try:
            files += [path for path in folder.rglob(glob) if path.is_file()]
        except (ValueError, NotImplementedError) as error:
            raise TextError(
                f"{glob!r} is not a pattern for files in a directory; give a `glob` such as '*.txt'"
            ) from error
        except OSError as error:
            raise _unreadable(repr(str(folder)), error) from error
    if not files:
        unreadable = [error for error in unreadable_folders(folder) if Path(error.filename) == folder]
        if unreadable:
            raise _unreadable(repr(str(folder)), unreadable[0])
        raise no_match(str(folder), globs)
    return files


def unreadable_folders(folder: Path) -> list[OSError]:
    """An error for each folder in this one, or itself, that can't be read; a search for files leaves them out."""
    errors: list[OSError] = []
    for _ in os.walk(folder, onerror=errors.append):
        pass
    return errors


def no_match(folder: str, globs: Sequence[str]) -> TextError:
    """The error for a folder that has no file of these patterns."""
    patterns = " or ".join(map(repr, globs))
    return TextError(f"the directory {folder!r} has no file that matches {patterns}; give another `glob`")


def _unreadable(label: str, error: Exception) -> TextError:
    reason = getattr(error, "strerror", None) or str(error)
    return TextError(f"can't read {label}: {reason}; give a text file or directory that you can read")


@dataclass(frozen=True)
class Changes:
    """How often reading changed the text: line endings read as LF, and byte-order marks that were dropped."""

    crlf: int = 0
    cr: int = 0
    byte_order_marks: int = 0

    @property
    def notices(self) -> tuple[str, ...]:
        """One line for each kind of change."""
        changes = (
            ("CRLF line endings read as LF", self.crlf),
            ("CR line endings read as LF", self.cr),
            ("byte-order marks dropped", self.byte_order_marks),
        )
        return tuple(f"{what}: {count:,}" for what, count in changes if count)


class Pass:
    """One reading of all sources. Iterating gives arrays (time,): uint32 code points, or uint8 bytes.

    The counts and the hash are complete once the iteration has ended. Iterating raises TextError for
    anything in the text that can't become symbols.
    """

    def __init__(self, sources: Sequence[Source], form: Format) -> None:
        self._sources = sources
        self._form = form
        #: The size of all sources when they were found, and how much of it has been read.
        self.total_bytes = sum(source.size for source in sources)
        self.read_bytes = 0
        self._hash = hashlib.sha256()
        self._ends = LineEnds()
        self._byte_order_marks = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of the raw bytes of all sources, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def changes(self) -> Changes:
        """What reading changed in the text."""
        return Changes(self._ends.crlf, self._ends.cr, self._byte_order_marks)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for source in self._sources:
            if self._form.kind == "byte":
                for raw in self._chunks(source):
                    yield np.frombuffer(raw, dtype=np.uint8)
            else:
                for text in self._characters(source):
                    yield _points(source, text)

    def _chunks(self, source: Source) -> Iterator[bytes]:
        """Yields the bytes of one source, adding them to the hash."""
        try:
            with source.open() as file:
                while raw := file.read(CHUNK_BYTES):
                    self._hash.update(raw)
                    self.read_bytes += len(raw)
                    yield raw
        except OSError as error:
            raise _unreadable(source.label, error) from error

    def _characters(self, source: Source) -> Iterator[str]:
        """Yields the text of one source: byte-order mark dropped, line ends as the format says."""
        for text in self._unmarked(_decode(source, self._chunks(source), self._form.encoding)):
            yield text if self._form.newlines == "keep" else self._ends.feed(text)
        yield self._ends.finish()

    def _unmarked(self, texts: Iterator[str]) -> Iterator[str]:
        """Drops a byte-order mark at the start of the first piece that is not empty, and counts it."""
        first = next(filter(None, texts), "")
        self._byte_order_marks += first.startswith(BYTE_ORDER_MARK)
        yield first.removeprefix(BYTE_ORDER_MARK)
        yield from texts


def _decode(source: Source, chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    encoding = " ".join(
        encoding.split()
    )  # Python takes line breaks in names of encodings, and messages don't
    characters = read = 0
    for raw in _then_end(chunks):
        read += len(raw)
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            # The decoder may hold bytes of an earlier chunk, so count from the end of what it was given.
            offset = read - len(error.object) + error.start
            raise TextError(
                f"{source.label} is not {encoding}: invalid byte 0x{error.object[error.start]:02x} at byte "
                f"offset {offset:,} ({error.reason}); {TWO_WAYS_OUT}"
            ) from error
        except UnicodeError as error:
            raise TextError(f"{source.label} is not {encoding}: {error}; {TWO_WAYS_OUT}") from error
        if (nul := text.find("\0")) >= 0:
            raise _binary(source, encoding, characters + nul)
        characters += len(text)
        yield text


def _then_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the chunks, then an empty one, at which the decoder finishes."""
    yield from chunks
    yield b""


def _binary(source: Source, encoding: str, characters: int) -> TextError:
    """Makes the error for a NUL that comes after so many ``characters`` of the source."""
    position = _nul_position(source, encoding, characters)
    return TextError(f"{source.label} is binary: it contains a NUL at {position}; {TWO_WAYS_OUT}")


def _nul_position(source: Source, encoding: str, characters: int) -> str:
    """Where the first NUL is, in words: the byte offset where NUL is one byte, else the character."""
    if "\0".encode(encoding) != b"\0" or not source.again:
        return f"character {characters:,}"
    offset = 0
    with source.open() as file:
        while raw := file.read(CHUNK_BYTES):
            if (position := raw.find(b"\0")) >= 0:
                return f"byte offset {offset + position:,}"
            offset += len(raw)
    return f"character {characters:,}"


def _points(source: Source, text: str) -> NDArray[np.uint32]:
    try:
        return code_points(text)
    except TextError as error:
        raise TextError(f"{source.label}: {error}; {TWO_WAYS_OUT}") from error
