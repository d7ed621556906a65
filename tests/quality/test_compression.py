"""What compressors make of a text after another."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib

import numpy as np
import pytest

from charkit.quality import compression
from charkit.quality.compression import compressed_bits, compressors
from charkit.text.vocabulary import Vocabulary
from support import SMALL_TEXT

VOCABULARY = Vocabulary.of_text(SMALL_TEXT)


def symbols_of(text: str) -> np.ndarray:
    return VOCABULARY.encode(text)[0]


def test_bits_are_what_the_text_adds_to_the_compressed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "SYMBOLS_AT_ONCE", 100)  # in pieces it is the same text
    training, scored = SMALL_TEXT[:2000], SMALL_TEXT[2000:3000]
    found = compressed_bits(symbols_of(training), symbols_of(scored), VOCABULARY)
    before, after = training.encode(), (training + scored).encode()
    assert found["zlib"] == 8 * (len(zlib.compress(after, 9)) - len(zlib.compress(before, 9)))
    assert found["bzip2"] == 8 * (len(bz2.compress(after)) - len(bz2.compress(before)))
    extreme = 9 | lzma.PRESET_EXTREME
    by_lzma = len(lzma.compress(after, preset=extreme)) - len(lzma.compress(before, preset=extreme))
    assert found["lzma"] == 8 * by_lzma
    assert ("zstd" in found) == (sys.version_info >= (3, 14))


def test_a_text_that_was_read_costs_next_to_nothing_within_the_window() -> None:
    noise = "".join(np.random.default_rng(0).choice(list(VOCABULARY.symbols), 60_000))
    text = symbols_of(noise)
    near = compressed_bits(text, text[-4000:], VOCABULARY)
    far = compressed_bits(text, text[:4000], VOCABULARY)
    assert max(near["zlib"], near["lzma"], far["lzma"]) < 4000
    assert far["zlib"] > 4 * 4000  # its window is 32 KB


def test_a_vocabulary_of_bytes_is_compressed_as_it_is() -> None:
    content = np.frombuffer(SMALL_TEXT.encode(), dtype=np.uint8)
    by_bytes = compressed_bits(content[:2000], content[2000:], Vocabulary.bytes())
    whole = SMALL_TEXT.encode()
    assert by_bytes["zlib"] == 8 * (len(zlib.compress(whole, 9)) - len(zlib.compress(whole[:2000], 9)))


def test_progress_is_heard_to_the_end() -> None:
    heard: list[float] = []
    compressed_bits(symbols_of(SMALL_TEXT), symbols_of("The grey cat"), VOCABULARY, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_zstd_reads_a_text_of_any_length() -> None:
    pytest.importorskip("compression.zstd", reason="Python has it since 3.14")
    for most_bytes in (1, 5000, 10**7):
        assert len(compressors(most_bytes)["zstd"]().compress(b"abc" * 1000)) >= 0
