"""Runs in a directory that is given as a text: what charkit wrote there is not taken for text."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.runs.run import Run
from charkit.text import file_search
from charkit.text.corpus import open_corpus
from charkit.text.file_search import find_files
from support import SMALL, SMALL_TEXT
from text_support import message_of, text_of

SKIPPED = "skipped 2 runs, such as"


def make_run(path: str) -> None:
    charkit.train(string=SMALL_TEXT, run=path, max_steps=1, threads=1, **SMALL)


def test_a_run_in_its_own_text_is_resumed_and_evaluated() -> None:
    Path("notes.md").write_text(SMALL_TEXT)
    result = charkit.train(".", glob="*.md", max_steps=3, threads=1, **SMALL)
    assert (result.run / "README.md").is_file()
    charkit.load_run(result.run).evaluate()
    assert charkit.train(resume=result.run, max_steps=5, threads=1).step == 5
    again = charkit.train(".", glob="*.md", max_steps=3, threads=1, **SMALL)
    assert Run.open(again.run).text_sha256 == Run.open(result.run).text_sha256


def test_the_runs_in_a_folder_are_skipped_and_counted() -> None:
    for name in ("books/a.txt", "books/deep/b.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    make_run("books/runs/r-1")
    make_run("books/runs/r-2")
    make_run("books/runs/r-2/trials/r-3")
    with open_corpus(DataConfig(text=("books",))) as corpus:
        assert text_of(corpus) == "books/a.txtbooks/deep/b.txt"
        assert f"{SKIPPED} 'books/runs/r-1'" in corpus.notices
    with open_corpus(DataConfig(text=("books/deep", "books/a.txt"))) as corpus:
        assert not [notice for notice in corpus.notices if SKIPPED in notice]


def test_a_run_that_is_given_itself_is_a_text() -> None:
    make_run("runs/r-1")
    for text in ("runs/r-1", "runs/r-1/text.txt"):
        with open_corpus(DataConfig(text=(text,))) as corpus:
            assert text_of(corpus) == SMALL_TEXT
            is_run = [notice for notice in corpus.notices if notice.startswith("'runs/r-1' is a run")]
            assert len(is_run) == (text == "runs/r-1")
    message = message_of(TextError, lambda: find_files(["runs"], ["*.txt"]))
    assert message == (
        "the directory 'runs' has files that match '*.txt' only in runs, which are skipped; give another `glob`, or "
        "the path of a file or run"
    )


def test_other_folders_with_a_configuration_are_text() -> None:
    Path("model").mkdir()
    Path("model/config.json").write_text('{"format": "other"}')
    Path("model/a.txt").write_text("ab")
    assert find_files(["."], ["*.txt"]).files == (Path("model/a.txt"),)


def test_each_folder_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files it has, and only where there is a config.json."""
    looked: list[Path] = []

    def identity(path: Path) -> None:
        looked.append(path)

    for folder in ("plain", "configured/deep"):
        Path(folder).mkdir(parents=True)
        for number in range(20):
            (Path(folder) / f"{number}.txt").write_text("ab")
    Path("configured/config.json").write_text("{}")
    monkeypatch.setattr(file_search, "identity", identity)
    assert len(find_files(["."], ["*.txt", "1*"]).files) == 40
    assert looked == [Path("configured")]
