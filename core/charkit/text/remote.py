"""A text behind a URL, read once, in order and in bounded memory, whatever happens to the connection.

What is given out is always a beginning of one content of the object: every connection must be to the version that was
found first, a server that can't continue in the middle begins again and must repeat what was read, and at the end the
object must still be that version. Whatever goes wrong is a TextError of one line, which holds no secret of the URL.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import BinaryIO, NoReturn, TypeVar, cast

from charkit.errors import TextError, counted
from charkit.text.file_search import no_match
from charkit.text.files import Source
from charkit.text.locations import SCHEMES, child, folder_of, recorded, scheme_of
from charkit.text.transport import (
    AbsentError,
    ChangedError,
    LastingError,
    PassingError,
    Stream,
    Transport,
    Version,
)
from charkit.training.interrupts import stopping_at_once

#: How often something is tried until it gives up: an answer of the server, and a next byte of the text.
ANSWER_TRIES = 4
BYTE_TRIES = 8
#: Seconds before the second try, which double with every further one, and the most that they become.
FIRST_DELAY = 0.25
MOST_DELAY = 30.0

Result = TypeVar("Result")


class RemoteFile(io.RawIOBase):
    """The bytes of an object of which ``find`` gave the version; see the module for what it promises."""

    def __init__(self, label: str, transport: Transport, version: Version) -> None:
        self._label, self._transport, self._version = label, transport, version
        self._stream: Stream | None = None
        self._offset = 0
        self._hash = sha256()
        self._is_checked = False

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end, once it was made sure that the object is the same still."""
        left = self._version.size - self._offset
        if left == 0:
            if not self._is_checked:
                attempt(self._label, self._check_version, ANSWER_TRIES)
                self._is_checked = True
            return b""
        raw = attempt(self._label, lambda: self._read(min(size, left) if size >= 0 else left), BYTE_TRIES)
        self._hash.update(raw)
        self._offset += len(raw)
        return raw

    def _read(self, size: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._transport.open(self._version, self._offset)
                self._skip(self._stream)
            if raw := self._stream.read(size):
                return raw
        except BaseException:
            self._disconnect()
            raise
        self._disconnect()
        raise PassingError(f"the connection ended after {self._offset:,} of {self._version.size:,} bytes")

    def _skip(self, stream: Stream) -> None:
        """Reads again what was read before, where the server had to begin anew. Raises ChangedError if it differs."""
        repeated, left = sha256(), self._offset - stream.offset
        if left == 0:
            return
        while left:
            if not (raw := stream.read(min(left, 1 << 20))):
                raise PassingError("the connection ended")
            repeated.update(raw)
            left -= len(raw)
        if repeated.digest() != self._hash.digest():
            raise ChangedError

    def _check_version(self) -> None:
        self._disconnect()
        self._version.check(self._transport.find())

    def _disconnect(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Ends the connection."""
        self._disconnect()
        super().close()


def attempt(label: str, action: Callable[[], Result], tries: int) -> Result:
    """What the action returns, tried again with growing delays. Raises TextError where nothing helps."""
    for number in range(tries):
        try:
            with stopping_at_once():
                if number:
                    time.sleep(min(MOST_DELAY, FIRST_DELAY * 2 ** (number - 1)))
                return action()
        except PassingError as error:
            reason = str(error)
        except LastingError as error:
            _refuse(f"can't read {label}: {error}")
        except ChangedError:
            _refuse(f"{label} changed while it was being read; try again when nothing is writing to it")
    raise TextError(f"can't read {label} after {tries} tries: {reason}; try again later")


def _refuse(message: str) -> NoReturn:
    # From None: the errors of the libraries below show the whole URL, with the secrets that it may hold.
    raise TextError(message) from None


def source_at(url: str) -> Source:
    """The object of a URL as a source that is read once. Raises TextError."""
    transport, label = transport_for(url), repr(recorded(url))
    version = attempt(label, transport.find, ANSWER_TRIES)
    return Source(
        label, lambda: cast(BinaryIO, RemoteFile(label, transport, version)), version.size, again=False
    )


def sources_at(urls: Sequence[str], globs: Sequence[str]) -> list[tuple[str, Source]]:
    """The objects of the URLs, and in folders those that match a pattern, each once, with its URL without secrets.

    Sorted by that; those that only differ in what was left out, as in ``?id=1``, stay in the order they were given in.
    Raises TextError.
    """
    found: dict[str, str] = {}
    for url in urls:
        files = attempt(repr(recorded(url)), transport_for(url).files, ANSWER_TRIES)
        matching = [url] if files is None else _matching(files, globs)
        if not matching:
            raise no_match(recorded(url), globs)
        found |= {each: recorded(each) for each in matching}
    return [(found[each], source_at(each)) for each in sorted(found, key=found.__getitem__)]


def _matching(files: Sequence[str], globs: Sequence[str]) -> list[str]:
    """The files of a folder that match a pattern. Raises TextError for a name that a URL can't have."""
    found = [file for file in files if any(PurePosixPath(file).match(glob) for glob in globs)]
    for file in found:
        if recorded(file) != file:  # another object would be read, or the same one twice
            raise TextError(
                f"the name {file!r} contains a character with a special meaning in URLs; rename the file, or exclude "
                "it with another `glob`"
            )
    return found


def transport_for(url: str) -> Transport:
    """How the object of a URL is reached. Raises TextError for a scheme that is unknown or lacks its packages."""
    scheme = scheme_of(url)
    try:
        if scheme in ("http", "https"):
            from charkit.text.http_transport import HttpTransport

            return HttpTransport(url)
        from charkit.text.filesystem_transport import FilesystemTransport

        return FilesystemTransport(scheme, url)
    except ImportError as error:
        raise missing_packages(url, error) from None


def missing_packages(url: str, error: ImportError) -> TextError:
    """The error for a URL whose packages are not installed; fsspec's own errors don't name the one that it lacks."""
    needed = SCHEMES[scheme_of(url)]
    return TextError(
        f"can't read {recorded(url)!r}: {error.name or needed.split()[-1]} is not installed; to read URLs, run: "
        f"pip install {needed} (or install charkit with the extra `remote`)"
    )


@dataclass(frozen=True)
class RemoteFolder:
    """The folder of a prepared text behind a URL."""

    url: str

    @property
    def location(self) -> str:
        """The URL without secrets."""
        return recorded(self.url)

    def read(self, name: str, limit: int) -> bytes:
        """The content of a small file. Raises TextError."""
        source = source_at(child(self.url, name))
        if source.size > limit:
            raise TextError(f"{name} has {source.size:,} bytes, but at most {limit:,} are allowed")
        with source.open() as file:
            return b"".join(iter(lambda: file.read(1 << 20), b""))

    def open(self, name: str, size: int) -> BinaryIO:
        """A file that has this size. Raises TextError for another size."""
        source = source_at(child(self.url, name))
        if source.size != size:
            raise TextError(
                f"{name} has {counted(source.size, 'byte')}, but the manifest says {size:,}; prepare the text again"
            )
        return source.open()


def remote_folder(url: str, manifest: str) -> RemoteFolder | None:
    """The folder of a prepared text that a URL names, or whose manifest it names; None for any other URL.

    On the web, where there are no folders, the URL of one ends in ``/``.
    """
    if (folder := folder_of(url, manifest)) is not None:
        return RemoteFolder(folder)
    transport = transport_for(url)
    if scheme_of(url) in ("http", "https"):
        return RemoteFolder(url) if recorded(url).endswith("/") and _exists(child(url, manifest)) else None
    files = attempt(repr(recorded(url)), transport.files, ANSWER_TRIES)
    return RemoteFolder(url) if files and _exists(child(url, manifest)) else None


def _exists(url: str) -> bool:
    """Whether there is an object; only that its server says that there is none makes it absent."""

    def find() -> bool:
        try:
            transport.find()
        except AbsentError:
            return False
        return True

    transport = transport_for(url)
    return attempt(repr(recorded(url)), find, ANSWER_TRIES)
