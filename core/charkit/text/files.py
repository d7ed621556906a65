"""Raw text, from files or from Python, read in chunks as code points or bytes.

A Pass reads every source once, in order, and never holds more than a few chunks. Whatever is wrong
with the text (unreadable, not in its encoding, binary) is a TextError of one line.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from charkit.errors import TextError, UndecodableError, shown
from charkit.path_hints import hint_for_missing
from charkit.text.line_ends import LineEnds
from charkit.text.vocabulary import Kind, code_points, utf8

CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff"


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
            repr(str(path)), lambda: cast(BinaryIO, path.open("rb", buffering=0)), status_of(path).st_size
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
            f"{name!r} is not a text encoding that charkit can read; give one such as utf-8, cp1252 or utf-16"
        ) from error


def status_of(path: Path) -> os.stat_result:
    """The status of what a path names. Raises TextError where there is nothing, or it can't be looked at."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        label, advice = _named(path, error)
        raise TextError(
            f"there is no text at {label}; give the path of a text file or directory{advice}"
        ) from error
    except (OSError, ValueError) as error:
        label, advice = _named(path, error)
        raise unreadable(label, error, advice) from error


def unreadable(label: str, error: Exception, advice: str = "") -> TextError:
    """The error for a file or folder that can't be read; ``advice`` ends the message."""
    reason = getattr(error, "strerror", None) or str(error)
    return TextError(f"can't read {label}: {reason}; give a text file or directory that you can read{advice}")


def _named(path: Path, error: Exception) -> tuple[str, str]:
    """The path for a message, and how the message ends: what is probably a text is cut short, and gets advice."""
    has_suffix = len(path.suffix) > 1 and " " not in path.suffix
    is_sentence = " " in path.name and not has_suffix and isinstance(error, FileNotFoundError)
    is_probably_text = "\n" in str(path) or is_sentence
    if set(path.name) & set("*?[") and isinstance(error, FileNotFoundError) and not is_probably_text:
        return repr(
            str(path)
        ), "; patterns are not expanded: training takes them as `glob`, besides the directory"
    if not is_probably_text and getattr(error, "errno", None) != errno.ENAMETOOLONG:
        is_missing = isinstance(error, FileNotFoundError)
        return f"{str(path)!r}{hint_for_missing(path) if is_missing else ''}", ""
    advice = "; if this is the text itself, save it in a file, or give it as `string` in Python"
    return shown(str(path)), advice


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
                before = _version_of(file) if source.again else None
                while raw := file.read(CHUNK_BYTES):
                    self._hash.update(raw)
                    self.read_bytes += len(raw)
                    yield raw
                if before is not None and _version_of(file) != before:
                    raise text_changed()
        except OSError as error:
            raise unreadable(source.label, error) from error

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


def _version_of(file: BinaryIO) -> tuple[int, int] | None:
    """The size and the time of the last change of an open file; None for what is no file of the system."""
    try:
        status = os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None
    return status.st_size, status.st_mtime_ns


def text_changed() -> TextError:
    """The error for a text that something writes to while it is read."""
    return TextError("the text changed while it was being read; try again when nothing is writing to it")


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
            problem = (
                f"{source.label} is not {encoding}: invalid byte 0x{error.object[error.start]:02x} at byte "
                f"offset {offset:,} ({error.reason})"
            )
            if offset == 0 and error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UndecodableError(
                    f"{problem}, but a byte-order mark of UTF-16", "read it with `encoding='utf-16'`"
                ) from error
            raise UndecodableError(problem) from error
        except UnicodeError as error:
            raise UndecodableError(f"{source.label} is not {encoding}: {error}") from error
        if (nul := text.find("\0")) >= 0:
            raise _binary(source, encoding, characters + nul)
        characters += len(text)
        yield text


def _then_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the chunks, then an empty one, at which the decoder finishes."""
    yield from chunks
    yield b""


def _binary(source: Source, encoding: str, characters: int) -> UndecodableError:
    """Makes the error for a NUL that comes after so many ``characters`` of the source."""
    position = _nul_position(source, encoding, characters)
    return UndecodableError(f"{source.label} is binary: it contains a NUL at {position}")


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
        raise UndecodableError(f"{source.label}: {error}") from error
