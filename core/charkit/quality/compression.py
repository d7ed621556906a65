"""What general compressors make of a text once they have read another: bits, at their strongest settings.

A compressor predicts only from what its window holds: zlib's is 32 KB, bzip2 sorts blocks of 900 KB by themselves, and
lzma's and zstd's hold the whole text up to 64 and 128 MiB.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from charkit.text.vocabulary import Vocabulary, utf8

Symbols = NDArray[np.integer[Any]]

#: Symbols that are turned into bytes at once.
SYMBOLS_AT_ONCE = 1 << 18
#: The window that lzma's strongest setting has; a longer one would take more than 700 MB of memory.
LONGEST_LZMA_WINDOW = 1 << 26
SHORTEST_LZMA_WINDOW = 1 << 20
#: The window of zstd's highest level: 128 MiB.
LONGEST_ZSTD_WINDOW_BITS = 27


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compressed_bits(
    training: Symbols,
    scored: Symbols,
    vocabulary: Vocabulary,
    progress: Callable[[float], None] | None = None,
) -> dict[str, int]:
    """What the scored text adds to the compressed size of the training text, in bits, by compressor.

    Sizes are whole bytes and blocks: what a few hundred characters add means little, and may even be less than nothing.
    Both texts are symbols, ``(symbol,)``, compressed as UTF-8, or as they are for a vocabulary of bytes.
    """
    most_bytes = (len(training) + len(scored)) * int(vocabulary.byte_lengths.max())
    makers = compressors(most_bytes)
    report = _Shares(len(makers) * (2 * len(training) + len(scored)), progress)
    bits = {}
    for name, make in makers.items():
        alone = _size(make(), (training,), vocabulary, report)
        bits[name] = 8 * (_size(make(), (training, scored), vocabulary, report) - alone)
    return bits


def compressors(most_bytes: int) -> dict[str, Callable[[], _Compressor]]:
    """The compressors that this Python has, by name, for texts of at most so many bytes."""
    window = min(max(1 << (most_bytes - 1).bit_length(), SHORTEST_LZMA_WINDOW), LONGEST_LZMA_WINDOW)
    strongest = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window}
    found: dict[str, Callable[[], _Compressor]] = {
        "zlib": lambda: zlib.compressobj(9, memLevel=9),
        "bzip2": lambda: bz2.BZ2Compressor(9),
        "lzma": lambda: lzma.LZMACompressor(filters=[strongest]),
    }
    try:
        zstd: Any = import_module("compression.zstd")  # since Python 3.14
    except ImportError:
        return found
    key = zstd.CompressionParameter
    window_bits = min(max((most_bytes - 1).bit_length(), 20), LONGEST_ZSTD_WINDOW_BITS)
    # The tables of the highest level are made for texts of any length; these are as large as the window needs.
    options = {
        key.compression_level: key.compression_level.bounds()[1],
        key.window_log: window_bits,
        key.hash_log: window_bits + 1,
        key.chain_log: window_bits + 1,
    }
    return {**found, "zstd": lambda: zstd.ZstdCompressor(options=options)}


class _Shares:
    """Reports which share of all symbols has been compressed."""

    def __init__(self, total: int, progress: Callable[[float], None] | None) -> None:
        self._total, self._progress = total, progress
        self._done = 0

    def add(self, symbols: int) -> None:
        self._done += symbols
        if self._progress is not None:
            self._progress(self._done / self._total)


def _size(
    compressor: _Compressor, texts: tuple[Symbols, ...], vocabulary: Vocabulary, report: _Shares
) -> int:
    """The compressed size of the texts behind each other, in bytes."""
    size = 0
    for text in texts:
        for start in range(0, len(text), SYMBOLS_AT_ONCE):
            piece = text[start : start + SYMBOLS_AT_ONCE]
            size += len(compressor.compress(_as_bytes(piece, vocabulary)))
            report.add(len(piece))
    return size + len(compressor.flush())


def _as_bytes(symbols: Symbols, vocabulary: Vocabulary) -> bytes:
    return (
        symbols.astype(np.uint8).tobytes() if vocabulary.kind == "byte" else utf8(vocabulary.decode(symbols))
    )
