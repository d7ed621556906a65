"""The file that holds an encoded text, named or not, and the folder where one without a name is made."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from charkit.errors import StorageError
from charkit.text.ascii_text import ByteEncoder
from charkit.text.vocabulary import UNKNOWN, Vocabulary, count_points


class SymbolsFile:
    """An open file that symbols are written to. A context manager, which closes it.

    Its users convert the system's errors with ``storing``; ``needed_bytes`` is for that message.
    """

    def __init__(self, file: BinaryIO, where: str, remedy: str) -> None:
        self.file = file
        self.needed_bytes = 0
        self._where, self._remedy = where, remedy

    @classmethod
    def without_name(cls) -> SymbolsFile:
        """A file in the scratch folder that goes when it is closed and unmapped. Raises StorageError."""
        folder = scratch_folder()
        remedy = "free some space there, or set CHARKIT_SCRATCH to another directory"
        try:
            file = tempfile.TemporaryFile(dir=folder, prefix="charkit-")  # noqa: SIM115 - see __exit__
        except OSError as error:
            raise _no_room(0, str(folder), error, remedy) from error
        return cls(cast(BinaryIO, file), str(folder), remedy)

    @classmethod
    def of_handle(cls, handle: int, folder: Path) -> SymbolsFile:
        """The file of a handle that is open for reading and writing, in a folder."""
        return cls(
            os.fdopen(handle, "w+b"), str(folder), "free some space there, or choose another directory"
        )

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Raises StorageError for an error of the system."""
        try:
            yield
        except OSError as error:
            raise _no_room(self.needed_bytes, self._where, error, self._remedy) from error

    def mapped(self) -> mmap.mmap:
        """What was written, as a read-only memory map, which stays when the file is closed."""
        with self.storing():
            self.file.flush()
            return mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)

    def __enter__(self) -> SymbolsFile:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # of what is unwritten after an error; ``mapped`` has written all
            self.file.close()


class EncodedFile:
    """Symbols as indices of a vocabulary, written to a file; ``count`` symbols are expected, 0 if that is not known."""

    def __init__(self, target: SymbolsFile, vocabulary: Vocabulary, count: int) -> None:
        self._target = target
        self._table = vocabulary.lookup
        self._dtype = dtype_of(vocabulary)
        target.needed_bytes = count * self._dtype.itemsize
        self._bytes = ByteEncoder(vocabulary) if self._dtype == np.uint8 else None
        #: How often each code point that the vocabulary lacks was met, and left out.
        self.missing: Counter[int] = Counter()

    def write(self, points: NDArray[Any]) -> None:
        """Appends the index of every code point or byte, (time,), that the vocabulary has. Raises StorageError."""
        encoded = None if self._bytes is None else self._bytes.encode(points)
        if encoded is None:
            encoded = self._looked_up(points).astype(self._dtype).data
        with self._target.storing():
            self._target.file.write(encoded)

    def _looked_up(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """The indices, without those of symbols that the vocabulary lacks, which are counted."""
        indices: NDArray[np.int32] = self._table[points]
        if indices.size and indices.min() == UNKNOWN:
            known = indices != UNKNOWN
            self.missing.update(count_points(points[~known]))
            indices = indices[known]
        return indices


def dtype_of(vocabulary: Vocabulary) -> np.dtype[Any]:
    """The smallest unsigned integer type that holds every index of the vocabulary, little-endian as on disk."""
    return dtype_for(vocabulary.size)


def dtype_for(size: int) -> np.dtype[Any]:
    """The same for a vocabulary of so many symbols."""
    return np.min_scalar_type(size - 1).newbyteorder("<")


def _no_room(needed_bytes: int, where: str, error: OSError, remedy: str) -> StorageError:
    size = f" ({needed_bytes:,} bytes)" if needed_bytes else ""
    return StorageError(
        f"can't write the encoded text{size} to {where!r}: {error.strerror or error}; {remedy}"
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
                f"CHARKIT_SCRATCH is {chosen!r}, which can't be created or is not a directory ({error.strerror}); "
                "set it to a directory that you can write to"
            ) from error
        return Path(chosen)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charkit"
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that is read-only, or none at all
        return Path(tempfile.gettempdir())
    return cache if os.access(cache, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
