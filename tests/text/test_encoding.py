"""A text that is read once becomes the same symbols as one that is read twice."""

from __future__ import annotations

import io
import tempfile
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charkit.text.encoding
import charkit.text.files
from charkit.config import DataConfig
from charkit.errors import TextError, UnknownSymbolsError, VocabularySizeError
from charkit.text.corpus import Corpus, open_source, open_string
from charkit.text.encoded_file import SymbolsFile
from charkit.text.encoding import Wanted
from charkit.text.files import Source
from charkit.text.sources import SourceText
from charkit.text.vocabulary import Vocabulary

#: More characters than fit into one byte, and into two.
MANY, VERY_MANY = ("".join(map(chr, range(0x10000, 0x10000 + count))) for count in (300, 66_000))


def read_once(text: str, data: DataConfig, **wanted: Any) -> Corpus:
    raw = text.encode()
    source = Source("the text", lambda: cast(BinaryIO, io.BytesIO(raw)), len(raw), again=False)
    return open_source(
        SourceText([source], data, "text", "utf-8"), Wanted(**wanted), SymbolsFile.without_name
    )


def assert_same(text: str, data: DataConfig, vocabulary: Vocabulary | None = None, **options: Any) -> None:
    with (
        open_string(text, data, vocabulary, **options) as want,
        read_once(text, data, vocabulary=vocabulary, **options) as got,
    ):
        assert got.vocabulary == want.vocabulary
        assert got.symbols.dtype == want.symbols.dtype
        assert got.symbols.tobytes() == want.symbols.tobytes()
        assert (got.sha256, got.notices) == (want.sha256, want.notices)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charkit.text.files, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(charkit.text.encoding, "CHUNK_SYMBOLS", 77)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("text", ["zyx" * 500, MANY[::-1] * 3, "b" * 1000 + MANY[::-1] + "a" * 999], ids=len)
def test_once_is_as_twice(text: str) -> None:
    assert_same(text, DataConfig())
    with read_once(text, DataConfig(vocabulary="byte")) as corpus:
        assert corpus.symbols.tobytes() == text.encode()
    assert_same(text, DataConfig(), Vocabulary.of_text(text + "q"))
    assert_same(text, DataConfig(), Vocabulary.of_text("xb"), extend=True)
    known = Vocabulary.of_text(text[:1] + "q")
    assert_same(text, DataConfig(), known, unknown="skip")
    with pytest.raises(UnknownSymbolsError):
        read_once(text, DataConfig(), vocabulary=known)


def test_symbols_of_four_bytes() -> None:
    assert_same("a" * 10 + VERY_MANY[::-1] + "a", DataConfig(max_vocabulary=70_000))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*"ab\r\n€", MANY[:299], MANY[::-1]]), min_size=1), st.integers(5, 50))
def test_any_text_once_is_as_twice(parts: list[str], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARKIT_SCRATCH", tempfile.gettempdir())
        patch.setattr(charkit.text.files, "CHUNK_BYTES", 5 * piece)
        patch.setattr(charkit.text.encoding, "CHUNK_SYMBOLS", piece)
        assert_same("a\nc" + "".join(parts), DataConfig())
        assert_same("a\nc" + "".join(parts), DataConfig(), Vocabulary.of_text("€zb"), extend=True)


def test_what_can_not_be_read_twice_can_not_be_read_once() -> None:
    for text, error in (
        ("", "is empty"),
        ("aaa", "only one distinct symbol"),
        ("a\0b", "a NUL at character 1"),
    ):
        with pytest.raises(TextError, match=error):
            read_once(text, DataConfig())
    with pytest.raises(VocabularySizeError, match="the text has 300 distinct characters"):
        read_once(MANY, DataConfig(max_vocabulary=200))
    with pytest.raises(TextError, match="every symbol of the text was skipped"):
        read_once("abc", DataConfig(), vocabulary=Vocabulary.of_text("xy"), unknown="skip")


def test_progress_rises_to_one(small_pieces: None) -> None:
    calls: list[tuple[str, float]] = []
    read_once("zya" * 5000, DataConfig(), progress=lambda stage, share: calls.append((stage, share))).close()
    for stage in ("reading", "encoding"):
        shares = [share for named, share in calls if named == stage]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
