"""A prepared text: a folder with the encoded symbols of a text, its vocabulary, and a manifest of both.

The folder may come from a stranger. So it is opened by its handle, no link in it is followed, and nothing is believed:
the symbols must have the SHA-256 of the manifest, and each must be one of the vocabulary. A folder on this machine is
read for that when it is first used, and again whenever its file has changed; one behind a URL, while it is fetched.
What can't be checked is that the source had the SHA-256 that the manifest says.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from charkit.config import DataConfig
from charkit.errors import CharkitError, RunError, TextError, counted
from charkit.runs.folder_files import OpenFolder
from charkit.text.encoded_file import dtype_of
from charkit.text.files import CHUNK_BYTES, Changes, check_encoding
from charkit.text.prepared_manifest import (
    MANIFEST,
    SYMBOLS,
    VOCABULARY,
    FileRecord,
    Manifest,
    check_manifest,
    read_manifest,
    same_encoding,
)
from charkit.text.reading_progress import ProgressMeter
from charkit.text.verified import is_verified, remember_verified
from charkit.text.vocabulary import Vocabulary

_PREPARE_AGAIN = "prepare the text again"
#: The most bytes that are read of the two small files.
MANIFEST_LIMIT, VOCABULARY_LIMIT = 64 << 10, 64 << 20


class Folder(Protocol):
    """The folder of a prepared text, on this machine or behind a URL. Methods raise CharkitError and OSError."""

    @property
    def location(self) -> str:
        """As it may be shown and recorded."""

    def read(self, name: str, limit: int) -> bytes:
        """The content of a small file, of at most so many bytes."""

    def open(self, name: str, size: int) -> BinaryIO:
        """A file of this size, for reading once."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine."""

    path: Path

    @property
    def location(self) -> str:
        """The path as it was given."""
        return str(self.path)

    def read(self, name: str, limit: int) -> bytes:
        """The content of a small file."""
        with OpenFolder.at(self.path, "prepared text") as folder:
            return folder.read(name, limit)

    def open(self, name: str, size: int) -> BinaryIO:
        """A plain file that has this size. Raises TextError for another size."""
        with OpenFolder.at(self.path, "prepared text") as folder:
            file = os.fdopen(folder.open_file(name, os.O_RDONLY), "rb")
        found = os.fstat(file.fileno()).st_size
        if found != size:
            file.close()
            raise TextError(
                f"{name} has {counted(found, 'byte')}, but {MANIFEST} says {size:,}; {_PREPARE_AGAIN}"
            )
        return file


@dataclass(frozen=True)
class PreparedText:
    """A prepared text of which manifest and vocabulary have been read and checked."""

    folder: Folder
    manifest: Manifest
    vocabulary: Vocabulary

    @classmethod
    def open(cls, folder: Folder) -> PreparedText:
        """Reads manifest and vocabulary. Raises TextError for anything that charkit does not write."""
        try:
            manifest = read_manifest(folder.read(MANIFEST, MANIFEST_LIMIT))
            content = folder.read(VOCABULARY, VOCABULARY_LIMIT)
            if FileRecord(bytes=len(content), sha256=sha256(content).hexdigest()) != manifest.vocabulary:
                raise TextError(f"{VOCABULARY} doesn't match its SHA-256 in {MANIFEST}; {_PREPARE_AGAIN}")
            vocabulary = Vocabulary.from_json(content)
            check_manifest(manifest, vocabulary)
        except (CharkitError, OSError) as error:
            raise damaged(folder.location, error) from error
        return cls(folder, manifest, vocabulary)

    @property
    def changes(self) -> Changes:
        """What reading the source changed in the text."""
        return Changes(**self.manifest.changes.model_dump())

    def check_reading(self, data: DataConfig) -> None:
        """Raises TextError where the source would be read in another way by these settings."""
        mine = self.manifest.reading
        wrong = [] if mine.vocabulary == data.vocabulary else ["vocabulary"]
        if mine.vocabulary == "char" and not wrong:
            check_encoding(data.encoding)
            wrong += [] if same_encoding(mine.encoding, data.encoding) else ["encoding"]
            wrong += [] if mine.newlines == data.newlines else ["newlines"]
        if wrong:
            key = wrong[0]
            had, needed = getattr(mine, key), getattr(data, key)
            raise TextError(
                f"{self.folder.location!r} was prepared with {key} {had!r}, but {needed!r} is needed; prepare its "
                f"source again with {key} {needed!r}, or give the source itself"
            )

    def points(self, meter: ProgressMeter) -> Iterator[NDArray[Any]]:
        """The code points, or the bytes, of the text in chunks, (time,), each checked; then that of all of them.

        Raises TextError.
        """
        for symbols in self._chunks(meter):
            yield self.vocabulary.points[symbols]

    def map(self, meter: ProgressMeter) -> mmap.mmap:
        """The symbols of a text on this machine as a read-only memory map. Raises TextError."""
        manifest = self.manifest
        try:
            with self.folder.open(SYMBOLS, manifest.symbols.bytes) as file:
                verdict = f"{manifest.symbols.sha256} of {self.vocabulary.size}"
                if not is_verified(file.fileno(), verdict):
                    before = os.fstat(file.fileno())
                    for _ in self._checked(file, meter):
                        pass
                    remember_verified(file.fileno(), before, verdict)
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, RunError, TextError) as error:
            raise damaged(self.folder.location, error) from error

    def verify(self, meter: ProgressMeter) -> None:
        """Reads everything, whether that was done before or not. Raises TextError."""
        for _ in self._chunks(meter):
            pass

    def _chunks(self, meter: ProgressMeter) -> Iterator[NDArray[Any]]:
        try:
            with self.folder.open(SYMBOLS, self.manifest.symbols.bytes) as file:
                yield from self._checked(file, meter)
        except (OSError, RunError, TextError) as error:
            raise damaged(self.folder.location, error) from error

    def _checked(self, file: BinaryIO, meter: ProgressMeter) -> Iterator[NDArray[Any]]:
        """The symbols in chunks. Raises TextError for one that no symbol has, and at the end for another SHA-256."""
        digest, done, dtype = sha256(), 0, dtype_of(self.vocabulary)
        rest = b""
        while raw := file.read(CHUNK_BYTES):
            digest.update(raw)
            done += len(raw)
            meter.update(done)
            raw, rest = rest + raw, b""
            if odd := len(raw) % dtype.itemsize:
                raw, rest = raw[:-odd], raw[-odd:]
            symbols = np.frombuffer(raw, dtype)
            if symbols.size and symbols.max() >= self.vocabulary.size:
                raise TextError(
                    f"{SYMBOLS} contains the index {symbols.max():,}, but the vocabulary has only "
                    f"{self.vocabulary.size:,} symbols; {_PREPARE_AGAIN}"
                )
            yield symbols
        if digest.hexdigest() != self.manifest.symbols.sha256 or done != self.manifest.symbols.bytes:
            raise TextError(f"{SYMBOLS} doesn't match its SHA-256 in {MANIFEST}; {_PREPARE_AGAIN}")
        meter.finish()


def damaged(location: str, error: Exception) -> TextError:
    """The error for a prepared text that can't be used, in one line."""
    reason = str(error)
    if isinstance(error, OSError):
        advice = f"; {_PREPARE_AGAIN}" if isinstance(error, FileNotFoundError) else ""
        reason = f"{Path(str(error.filename or MANIFEST)).name}: {error.strerror or error}{advice}"
    return TextError(f"the prepared text {location!r} can't be used: {' '.join(reason.split())}")


def local_folder(text: str) -> LocalFolder | None:
    """The folder of a prepared text that a path names, or whose manifest it names; None for any other path."""
    path = Path(text)
    if path.name == MANIFEST:
        path = path.parent
    try:
        return LocalFolder(path) if os.path.lexists(path / MANIFEST) else None
    except ValueError:  # a NUL in the path, of which another message is made
        return None
