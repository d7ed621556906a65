"""R7: a text of any bytes is trained on and reads back as it was, or is refused in one line and leaves nothing."""

from __future__ import annotations

import shutil
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import strategies as st

from charkit.config import DataConfig, build
from charkit.errors import CharkitError, TextError
from charkit.text import files
from charkit.text.corpus import Corpus, open_corpus, open_string
from charkit.text.line_ends import LineEnds
from cli_support import Toolkit, only_error
from faults.drawn_texts import DrawnText, drawn_texts
from faults.exploring import explore
from faults.rounds import Rounds

#: Settings with which the shortest of texts can be trained on.
TINY = (
    *(
        "--recipe=classic",
        "--lstm-size=2",
        "--num-layers=1",
        "--batch-size=1",
        "--num-steps=1",
        "--threads=1",
    ),
    *("--sample-length=4", "--validation-share=0", "--test-share=0", "--max-steps=1"),
)


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # as the program's own are
    return Toolkit(capsys)


def _options(text: DrawnText) -> tuple[str, ...]:
    return (f"--vocabulary={text.vocabulary}", f"--encoding={text.encoding}", f"--newlines={text.newlines}")


def _fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _decoded(corpus: Corpus) -> bytes | str:
    if corpus.vocabulary.kind == "byte":
        return corpus.symbols.tobytes()
    return corpus.vocabulary.decode(corpus.symbols)


def check_reads_back(text: DrawnText, folder: Path) -> None:
    """The text reads as Python's own decoder has it, or is refused in one line."""
    paths = text.write(_fresh(folder))
    options = {"vocabulary": text.vocabulary, "encoding": text.encoding, "newlines": text.newlines}
    try:
        corpus = open_corpus(build(DataConfig, {"text": paths, **options}))
    except CharkitError as error:
        _check_refusal(text, str(error))
        return
    with corpus:
        assert _decoded(corpus) == text.expected
        assert corpus.vocabulary.size >= 2
        again, skipped = corpus.vocabulary.encode(corpus.vocabulary.decode(corpus.symbols))
        assert skipped == 0
        if text.vocabulary == "char":
            assert again.tolist() == corpus.symbols.tolist()


def _check_one_line(message: str) -> None:
    assert "\n" not in message
    assert "\r" not in message


def _check_refusal(text: DrawnText, message: str) -> None:
    _check_one_line(message)
    try:
        expected = text.expected
    except (ValueError, LookupError, TypeError, OSError, zlib.error):
        return  # Python does not read it either; codecs that compress raise errors of their own
    if isinstance(expected, str):
        reasons = ("NUL", "is empty", "one distinct symbol", "is not a text encoding", "not a character")
    else:
        reasons = ("is empty",)
    assert any(reason in message for reason in reasons), message


def test_a_text_reads_back_as_it_was_or_is_refused(tmp_path: Path, rounds: Rounds, seed: int) -> None:
    explore(
        lambda text: check_reads_back(text, tmp_path / "texts"),
        drawn_texts(),
        count=rounds(short=500, long=20_000),
        seed=seed,
    )


def test_a_text_is_trained_on_and_evaluated_or_is_refused(
    tmp_path: Path, toolkit: Toolkit, rounds: Rounds, seed: int
) -> None:
    def check(text: DrawnText) -> None:
        paths = text.write(_fresh(tmp_path / "texts"))
        shutil.rmtree("run", ignore_errors=True)
        trained = toolkit("train", "--run=run", *TINY, *_options(text), "--", *paths)
        if trained.status == 0:
            evaluated = toolkit("evaluate", "run", "--split=train", "--threads=1", "--json")
            assert evaluated.status == 0, evaluated.err
            other = toolkit(
                "evaluate", "run", "--threads=1", "--unknown=skip", *(f"--text={path}" for path in paths)
            )
            assert other.status == 0, other.err
            return
        assert trained.status == 2
        assert only_error(trained.err)
        assert not Path("run").exists()

    explore(check, drawn_texts(), count=rounds(short=500, long=20_000) // 5, seed=seed)


def test_a_string_of_anything_reads_back_or_is_refused(rounds: Rounds, seed: int) -> None:
    def check(text: str) -> None:
        try:
            corpus = open_string(text, DataConfig(newlines="keep"))
        except TextError as error:
            _check_one_line(str(error))
            return
        with corpus:
            assert _decoded(corpus) == text.removeprefix("\ufeff")

    any_text = st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc"])), max_size=60)
    explore(check, any_text, count=rounds(short=500, long=20_000), seed=seed)


def test_a_planted_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A CR that ends one piece and an LF that begins the next are one line end; here they count as two."""
    monkeypatch.setattr(files, "CHUNK_BYTES", 3)
    check = lambda text: check_reads_back(text, tmp_path / "texts")  # noqa: E731
    explore(check, drawn_texts(), count=200, seed=seed)
    monkeypatch.setattr(LineEnds, "feed", LineEnds._convert)
    with pytest.raises(AssertionError):
        explore(check, drawn_texts(), count=200, seed=seed)
