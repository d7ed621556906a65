"""Text on disk becomes symbols: every encoding and line end, every bad input, splits and storage."""

from __future__ import annotations

import codecs
import hashlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charkit.config import DataConfig
from charkit.errors import ConfigurationError, TextError, UnknownSymbolsError
from charkit.text.corpus import Corpus, open_corpus, open_string
from charkit.text.line_ends import LineEnds
from charkit.text.vocabulary import Vocabulary
from text_support import Write, message_of, text_of


def test_a_file_becomes_symbols(write: Write) -> None:
    raw = "naïve 😀 text\n".encode()
    with open_corpus(DataConfig(text=(write(raw),))) as corpus:
        assert text_of(corpus) == "naïve 😀 text\n"
        assert corpus.vocabulary == Vocabulary.of_text("naïve 😀 text\n")
        assert corpus.sha256 == hashlib.sha256(raw).hexdigest()
        assert corpus.name == "some-text"
        assert corpus.notices == ()
        with pytest.raises(ValueError, match="read-only"):
            corpus.symbols[0] = 1


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32", "cp1252", "latin-1", "shift_jis"]
)
def test_encodings_are_read_across_chunk_borders(write: Write, encoding: str) -> None:
    text = {"shift_jis": "日本語 text\r\n"}.get(encoding, "déjà vu, naïve\r\n") * 5
    with open_corpus(DataConfig(text=(write(text.encode(encoding)),), encoding=encoding)) as corpus:
        assert text_of(corpus) == text.replace("\r\n", "\n")
        assert corpus.notices == ("CRLF line endings read as LF: 5",)


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize("pad", range(4))
def test_line_ends_become_lf_and_are_counted(write: Write, pad: int) -> None:
    text = "x" * pad + "a\r\nb\rc\r\r\nd\n\r"
    path = write(text.encode())
    with open_corpus(DataConfig(text=(path,))) as corpus:
        assert text_of(corpus) == "x" * pad + "a\nb\nc\n\nd\n\n"
        assert corpus.notices == ("CRLF line endings read as LF: 2", "CR line endings read as LF: 3")
    with open_corpus(DataConfig(text=(path,), newlines="keep")) as corpus:
        assert text_of(corpus) == text
        assert corpus.notices == ()


@given(st.lists(st.text("a\r\n", max_size=4)))
def test_pieces_convert_like_the_whole(pieces: list[str]) -> None:
    whole = "".join(pieces)
    ends = LineEnds()
    assert "".join(map(ends.feed, pieces)) + ends.finish() == io.StringIO(whole, newline=None).read()
    assert (ends.crlf, ends.cr) == (whole.count("\r\n"), whole.count("\r") - whole.count("\r\n"))


@pytest.mark.usefixtures("tiny_chunks")
def test_a_byte_order_mark_is_dropped_from_each_file(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + f"{name}\ufeff\n".encode())
    with open_corpus(DataConfig(text=(str(tmp_path),))) as corpus:
        assert text_of(corpus) == "a.txt\ufeff\nb.txt\ufeff\n"
        assert corpus.notices == ("2 files read", "byte-order marks dropped: 2")


@pytest.mark.usefixtures("tiny_chunks")
def test_byte_mode_changes_no_byte(write: Write) -> None:
    raw = codecs.BOM_UTF8 + b"a\r\nb\r\0\xff" + bytes(range(256))
    with open_corpus(DataConfig(text=(write(raw),), vocabulary="byte", encoding="ignored")) as corpus:
        assert corpus.symbols.tobytes() == raw
        assert corpus.vocabulary == Vocabulary.bytes()
        assert corpus.notices == ()


@pytest.mark.parametrize(("count", "dtype"), [(256, np.uint8), (257, np.uint16), (65537, np.uint32)])
def test_symbols_take_the_smallest_type(count: int, dtype: type) -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + count)))
    with open_string(text, DataConfig(max_vocabulary=count)) as corpus:
        assert corpus.symbols.dtype == dtype
        assert text_of(corpus) == text


def test_the_default_is_pythons_language_reference() -> None:
    with open_corpus(DataConfig()) as corpus:
        assert corpus.name == "python-reference"
        assert len(corpus.symbols) > 100_000
        assert "generator expression" in text_of(corpus)
        assert "no text given" in corpus.notices[0]


def test_a_python_without_its_reference_asks_for_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert "give the path of a text" in message_of(TextError, lambda: open_corpus(DataConfig()))


def test_a_string_goes_the_same_way_as_a_file(write: Write) -> None:
    text = "\ufeffa\r\né"
    data = DataConfig(text=(write(text.encode()),), encoding="utf-8")
    with open_corpus(data) as read, open_string(text, DataConfig(encoding="utf-16")) as given_text:
        assert text_of(read) == text_of(given_text) == "a\né"
        assert (read.sha256, read.notices) == (given_text.sha256, given_text.notices)
    with open_string("é", DataConfig(vocabulary="byte")) as corpus:
        assert corpus.symbols.tolist() == [0xC3, 0xA9]


def test_a_given_vocabulary_decides_what_a_symbol_is() -> None:
    with open_string("ba", DataConfig(vocabulary="byte"), Vocabulary.of_text("abc")) as corpus:
        assert corpus.symbols.tolist() == [1, 0]
    with open_string("ba", DataConfig(vocabulary="char"), Vocabulary.bytes()) as corpus:
        assert corpus.symbols.tolist() == [98, 97]


@pytest.mark.usefixtures("tiny_chunks")
def test_unknown_symbols_are_counted_over_the_whole_text() -> None:
    message = message_of(
        UnknownSymbolsError, lambda: open_string("aé-aé-é", DataConfig(), Vocabulary.of_text("ab"))
    )
    assert "'é' (3), '-' (2);" in message
    assert "`unknown='skip'`" in message


@pytest.mark.usefixtures("tiny_chunks")
def test_unknown_symbols_can_be_skipped() -> None:
    with open_string("aéb-é", DataConfig(), Vocabulary.of_text("ab"), unknown="skip") as corpus:
        assert text_of(corpus) == "ab"
        assert corpus.notices == ("skipped symbols that the vocabulary lacks: 3 of 5",)


def test_a_text_of_nothing_known_is_an_error() -> None:
    message = message_of(
        TextError, lambda: open_string("xyz", DataConfig(), Vocabulary.of_text("ab"), unknown="skip")
    )
    assert "every symbol of the text was skipped" in message


def test_a_vocabulary_can_grow_with_the_text(write: Write) -> None:
    data = DataConfig(text=(write(b"zanm"),))
    with open_corpus(data, Vocabulary.of_text("mn"), extend=True) as corpus:
        assert corpus.vocabulary.symbols == ("m", "n", "a", "z")
        assert corpus.symbols.tolist() == [3, 2, 1, 0]


@given(st.integers(2, 500), st.floats(0, 0.5, exclude_max=True), st.floats(0, 0.5))
def test_splits_are_contiguous_and_cover_the_text(size: int, validation: float, test: float) -> None:
    data = DataConfig(validation_share=validation, test_share=test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARKIT_SCRATCH", tempfile.gettempdir())
        with open_string("ab" * size, data) as corpus:
            ranges = [corpus.split("train"), corpus.split("validation"), corpus.split("test")]
            assert corpus.split("all") == (0, 2 * size)
    assert [0, *(stop for _, stop in ranges)] == [*(start for start, _ in ranges), 2 * size]
    lengths = [stop - start for start, stop in ranges]
    np.testing.assert_allclose(
        lengths, [2 * size * (1 - validation - test), 2 * size * validation, 2 * size * test], atol=1.001
    )
    assert min(lengths) >= 0


def test_default_and_zero_shares() -> None:
    with open_string("ab" * 500, DataConfig()) as corpus:
        assert [corpus.split(name) for name in ("train", "validation", "test")] == [
            (0, 900),
            (900, 950),
            (950, 1000),
        ]
    with open_string("ab" * 500, DataConfig(validation_share=0, test_share=0)) as corpus:
        assert corpus.split("train") == (0, 1000)
        assert corpus.split("validation") == corpus.split("test") == (1000, 1000)


def test_a_split_that_is_not_there() -> None:
    with open_string("ab", DataConfig()) as corpus:
        name: Any = "dev"
        message = message_of(ConfigurationError, lambda: corpus.split(name))
    assert message == "unknown split 'dev'; choose from train, validation, test, all"


def resident_kib(corpus: Corpus) -> int:
    """Returns the resident part of the mapping that holds the corpus, from the kernel's own table."""
    address = corpus.symbols.__array_interface__["data"][0]
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if "-" in head and not head.endswith(":"):
            low, high = (int(end, 16) for end in head.split("-"))
            inside = low <= address < high
        elif inside and head == "Rss:":
            return int(line.split()[1])
    raise AssertionError("the mapping is not in smaps")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's table of mappings")
def test_release_gives_pages_back_and_keeps_the_text() -> None:
    text = "ab" * 500_000
    with open_string(text, DataConfig()) as corpus:
        assert corpus.symbols.sum() == 500_000
        assert resident_kib(corpus) > 900
        corpus.release()
        assert resident_kib(corpus) == 0
        assert text_of(corpus) == text


def test_closing_with_a_view_left_keeps_the_view() -> None:
    corpus = open_string("abc", DataConfig())
    view = corpus.symbols[1:]
    corpus.close()
    assert view.tolist() == [1, 2]
    corpus.close()
    corpus.release()
    with pytest.raises(ValueError, match="the corpus is closed"):
        _ = corpus.symbols


def test_progress_rises_to_one_in_both_stages(write: Write) -> None:
    calls: list[tuple[str, float]] = []
    data = DataConfig(text=(write(b"ab" * 3_000_000),))
    open_corpus(data, progress=lambda stage, fraction: calls.append((stage, fraction))).close()
    for stage in ("reading", "encoding"):
        fractions = [fraction for name, fraction in calls if name == stage]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < fractions[-1] == 1
    assert [name for name, _ in calls] == sorted((name for name, _ in calls), reverse=True)
