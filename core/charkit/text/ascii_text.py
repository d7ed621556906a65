"""Text that is nearly all ASCII: translating bytes takes a fifth of the time of looking up code points in a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.text.vocabulary import CODE_POINTS, UNKNOWN, Vocabulary

_ASCII, _BYTES = 128, 256
#: What bytes that the vocabulary lacks are translated to; no index, in a vocabulary of fewer than 256 symbols.
_LACKING = _BYTES - 1
#: If one in so many characters, or more, is not ASCII, all are looked up.
_PER_OTHER = 8


def nearly_ascii(points: NDArray[Any]) -> tuple[bytes, NDArray[np.intp]] | None:
    """Code points, (time,), as ASCII, and the positions of all others, at which any of the ASCII characters stands.

    None if too many are not ASCII.
    """
    is_other = points >= _ASCII
    others = np.flatnonzero(is_other)
    if others.size * _PER_OTHER >= points.size:
        return None
    codes = points.astype(np.uint8)
    codes[others] = points[is_other.argmin()]
    return codes.tobytes(), others


class SeenPoints:
    """Which code points occur in a text."""

    def __init__(self) -> None:
        self._seen = np.zeros(CODE_POINTS, dtype=np.bool_)
        self._ascii = b""

    def add(self, points: NDArray[Any]) -> None:
        """Notes code points, (time,)."""
        parts = nearly_ascii(points)
        if parts is None:
            self._seen[points] = True
            return
        codes, others = parts
        self._seen[points[others]] = True
        if new := codes.translate(None, self._ascii):  # what remains without those that are known
            self._seen[np.frombuffer(new, np.uint8)] = True
            self._ascii = np.flatnonzero(self._seen[:_ASCII]).astype(np.uint8).tobytes()

    def sorted(self) -> NDArray[np.intp]:
        """All that were noted, in ascending order."""
        return np.flatnonzero(self._seen)


class ByteEncoder:
    """Indices of bytes, or of code points that are nearly all ASCII, in a vocabulary of at most 256 symbols."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lookup = vocabulary.lookup
        indices = self._lookup[:_BYTES]
        self._table = np.where(indices == UNKNOWN, _LACKING, indices).astype(np.uint8).tobytes()
        self._is_identity = vocabulary.kind == "byte" and self._table == bytes(range(_BYTES))
        self._has_mark = vocabulary.size < _BYTES

    def encode(self, points: NDArray[Any]) -> memoryview | None:
        """The index of each, a byte; None where the vocabulary lacks some, or too many are not ASCII."""
        if points.dtype == np.uint8:
            return points.data if self._is_identity else None
        parts = nearly_ascii(points) if self._has_mark else None
        if parts is None:
            return None
        codes, positions = parts
        indices = np.frombuffer(bytearray(codes.translate(self._table)), np.uint8)
        others = self._lookup[points[positions]]
        if indices.max() == _LACKING or UNKNOWN in others:
            return None
        indices[positions] = others
        return indices.data
