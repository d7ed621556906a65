"""The anonymous file on disk that holds an encoded text, and the folder where it is made."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.errors import StorageError
from charkit.text.vocabulary import UNKNOWN, Vocabulary, count_points


class EncodedFile:
    """Symbols as indices of a vocabulary, in a file without a name. A context manager, which closes the file.

    Raises StorageError where the file can't be made or written; ``count`` symbols are expected.
    """

    def __init__(self, vocabulary: Vocabulary, count: int) -> None:
        self._table = vocabulary.lookup
        self._dtype = dtype_of(vocabulary)
        self._folder = scratch_folder()
        self._needed_bytes = count * self._dtype.itemsize
        #: How often each code point that the vocabulary lacks was met, and left out.
        self.missing: Counter[int] = Counter()
        with self._storing():
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="charkit-")  # noqa: SIM115 - see __exit__

    def write(self, points: NDArray[Any]) -> None:
        """Appends the index of every code point or byte, (time,), that the vocabulary has."""
        indices = self._table[points]
        if indices.size and indices.min() == UNKNOWN:
            known = indices != UNKNOWN
            self.missing.update(count_points(points[~known]))
            indices = indices[known]
        with self._storing():
            self._file.write(memoryview(indices.astype(self._dtype)))

    def mapped(self) -> mmap.mmap:
        """What was written, as a read-only memory map, which stays when the file is closed."""
        with self._storing():
            self._file.flush()
            return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def __enter__(self) -> EncodedFile:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # of what is unwritten after an error; ``mapped`` has written all
            self._file.close()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"can't write the encoded text ({self._needed_bytes:,} bytes) in {str(self._folder)!r}: "
                f"{error.strerror or error}; make room there, or set CHARKIT_SCRATCH to another folder"
            ) from error


def dtype_of(vocabulary: Vocabulary) -> np.dtype[Any]:
    """The smallest unsigned integer type that holds every index of the vocabulary."""
    return np.min_scalar_type(vocabulary.size - 1)


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
