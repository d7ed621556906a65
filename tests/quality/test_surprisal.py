"""The surprisal of each character, as an array, a table and a page."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from math import log
from pathlib import Path

import numpy as np
import pytest

import charkit
from charkit import evaluation
from charkit.errors import ConfigurationError, StorageError, TextError
from charkit.evaluation import evaluate
from charkit.quality import surprisal_files
from charkit.quality.surprisal import Surprisal
from charkit.text.vocabulary import Vocabulary

HOSTILE = "<script>alert('&amp;')</script>\n\"a\",b;\tc\r\x07\x1b[31m é€ {{ 7*7 }} \u202eabc\x85"


def surprisal_of(text: str, vocabulary: Vocabulary, start: int = 0) -> Surprisal:
    """A text scored by a fresh network, from ``start`` on."""
    symbols, _ = vocabulary.encode(text)
    model = charkit.CharRNN(vocabulary.size, lstm_size=4, precision="float64", seed=2)
    nats = np.zeros(len(symbols) - max(start, 1))
    stored = symbols.astype(np.uint16)
    found = evaluate(model, stored, vocabulary, start, len(symbols), nats_of_each=nats)
    return Surprisal.of_symbols(stored[max(start, 1) :], nats, vocabulary, max(start, 1), found)


@pytest.fixture
def hostile() -> Surprisal:
    return surprisal_of(HOSTILE, Vocabulary.of_text(HOSTILE))


class Page(HTMLParser):
    """The page's elements, and the characters in its text with their titles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[tuple[str, str]] = []
        self._title = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._title = dict(attrs).get("title") or ""

    def handle_data(self, data: str) -> None:
        if self._title:
            self.cells.append((data, self._title))
            self._title = ""


def test_each_symbol_is_given_what_it_was_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "LEAST_SYMBOLS_PER_STREAM", 600)
    vocabulary = Vocabulary.of_text("abcd")
    symbols = np.random.default_rng(0).integers(0, 4, 3000).astype(np.uint8)
    model = charkit.CharRNN(4, lstm_size=4, precision="float64", seed=2)
    for start, stop in ((0, 3000), (700, 2900), (1, 40)):
        nats = np.full(stop - max(start, 1), np.nan)
        found = evaluate(model, symbols, vocabulary, start, stop, nats_of_each=nats)
        assert nats.mean() == pytest.approx(found.loss)
        whole = symbols[None, :stop].astype(np.int32)
        expected, _ = model.nats(whole[:, :-1].copy(), whole[:, 1:].copy(), model.initial_state(1))
        np.testing.assert_allclose(nats, expected[0, max(start, 1) - 1 :], atol=1e-6)


def test_characters_and_positions(hostile: Surprisal) -> None:
    assert "".join(hostile.characters) == HOSTILE[1:]
    assert hostile.positions.tolist() == list(range(1, len(HOSTILE)))
    assert hostile.bits.mean() == pytest.approx(hostile.evaluation.bits_per_character)


def test_bytes_of_a_character_are_taken_together() -> None:
    text = "né€e" * 20
    found = surprisal_of(text, Vocabulary.bytes())
    assert "".join(found.characters) == text[1:]
    assert found.positions[:4].tolist() == [1, 3, 6, 7]
    assert found.bits.sum() == pytest.approx(found.evaluation.loss * found.evaluation.symbols / log(2))
    cut = surprisal_of(text, Vocabulary.bytes(), start=4)  # inside of the euro sign
    assert cut.characters[:2] == ("\ufffd\ufffd", "e")
    assert cut.positions[:2].tolist() == [4, 6]


def test_the_table_gives_every_character_back(hostile: Surprisal) -> None:
    hostile.write("out.csv")
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["position", "character", "surprisal_bits"]
    assert "".join(row[1] for row in rows) == HOSTILE[1:]
    assert [int(row[0]) for row in rows] == hostile.positions.tolist()
    np.testing.assert_allclose([float(row[2]) for row in rows], hostile.bits, atol=5e-5)


def test_the_page_shows_every_character_and_runs_nothing(hostile: Surprisal) -> None:
    hostile.write("out.html")
    html = Path("out.html").read_text("utf-8")
    page = Page(html)
    shown = dict(zip("\n\t\r\x07\x1b\x85", ["↵\n", "→\t", "␍", "␇", "␛", "�"], strict=True))
    assert [text for text, _ in page.cells] == [shown.get(character, character) for character in HOSTILE[1:]]
    assert [title for _, title in page.cells] == [f"{bits:.2f} bits" for bits in hostile.bits]
    for character, escaped in {"<": "&lt;", "&": "&amp;", '"': "&#34;"}.items():
        assert f">{escaped}</span>" in html
        assert f">{character}</span>" not in html
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import|\bon\w+=", html)
    assert f"{hostile.evaluation.bits_per_character:.4f} bits per character" in html
    assert "prefers-color-scheme: dark" in html


def test_colors_follow_the_bits() -> None:
    nats = np.array([0.0, 0.99, 1.0, 3.5, 9.0, 40.0]) * log(2)
    figures = evaluation.Evaluation(1.0, 2.0, 2.0, 3.0, 6, 1)
    vocabulary = Vocabulary.of_text("abcdef")
    found = Surprisal.of_symbols(np.arange(6), nats, vocabulary, 1, figures)
    found.write("out.html")
    html = Path("out.html").read_text("utf-8")
    assert re.findall(r'<span class="l(\d)" title=', html) == ["0", "0", "1", "3", "9", "9"]


def test_what_can_not_be_written_is_told(hostile: Surprisal, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match=r"FILE.csv \(a table\) or FILE.html \(a page\); given 'out.txt'"
    ):
        hostile.write("out.txt")
    with pytest.raises(StorageError, match=r"directory 'absent' doesn't exist; create it first"):
        hostile.write("absent/out.csv")
    monkeypatch.setattr(surprisal_files, "MOST_CHARACTERS", 50)
    with pytest.raises(
        TextError, match=r"a page shows at most 50; write a table to 'out.csv' instead, or score less"
    ):
        hostile.write("out.html")
    assert list(Path().iterdir()) == []
    hostile.write("out.csv")  # a table has no limit


@pytest.mark.parametrize("name", ["out.csv", "out.HTML"])
def test_only_an_earlier_file_of_its_own_is_replaced(hostile: Surprisal, name: str) -> None:
    Path(name).write_text("a book\n")
    with pytest.raises(
        StorageError, match="already exists and was not written by charkit, so it is never overwritten"
    ):
        hostile.write(name)
    assert Path(name).read_text() == "a book\n"
    Path(name).unlink()
    hostile.write(name)
    first = Path(name).read_bytes()
    hostile.write(name)
    assert Path(name).read_bytes() == first
    assert [path.name for path in Path().iterdir()] == [name]
