"""A text that can't be trained on: one line that helps, exit status 2, and nothing left behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from charkit.text.files import Source
from cli_support import TINY, Toolkit


@pytest.mark.parametrize(
    "command", [("train",), ("train", "--run", "deep/er/run"), ("train", "--overwrite", "--run", "r")]
)
def test_missing_text(toolkit: Toolkit, command: tuple[str, ...]) -> None:
    assert (
        toolkit.error(*command, "absent.txt")
        == f"there is no text at 'absent.txt' (the current directory is {str(Path.cwd())!r}); give the path of a text "
        "file or directory"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["'t.txt' is empty", "give a text"]),
        (b"abc\0def", ["'t.txt' is binary", "NUL at byte offset 3", "--vocabulary byte"]),
        ("abc".encode("utf-16"), ["'t.txt' is not utf-8", "mark of UTF-16; read it with --encoding utf-16"]),
        (b"abc\xffdef", ["'t.txt' is not utf-8", "0xff at byte offset 3", "--vocabulary byte", "--encoding"]),
        (b"aaaa" * 999, ["only one distinct symbol, 'a'"]),
    ],
)
def test_text_that_can_not_be_read_as_one(toolkit: Toolkit, content: bytes, expected: list[str]) -> None:
    Path("t.txt").write_bytes(content)
    message = toolkit.error("train", "t.txt", *TINY)
    for words in expected:
        assert words in message


def test_folder_without_a_text(toolkit: Toolkit) -> None:
    Path("novel.txt").mkdir()
    assert "'novel.txt' has no file that matches '*.txt'" in toolkit.error("train", "novel.txt")
    assert "matches '*.md'" in toolkit.error("train", "novel.txt", "--glob", "*.md")


def test_text_that_may_not_be_read(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Source, "of_file", lambda path: Source(repr(str(path)), refuse, 1))
    message = toolkit.error("train", text_file, *TINY)
    assert message.startswith(f"can't read {str(text_file)!r}: Permission denied; ")


def test_text_too_short_for_the_batch_says_what_fits_and_that_does_fit(toolkit: Toolkit) -> None:
    Path("short.txt").write_text("some words, no more. " * 20)
    message = toolkit.error("train", "short.txt", "--recipe", "classic")
    assert "--batch-size 64 and --num-steps 50 need 3,201; use a --batch-size of at most 7 " in message
    assert "(with --num-steps 50), a --num-steps of at most 5 (with --batch-size 64), or" in message
    small = ("--recipe", "classic", "--lstm-size", "4", "--max-steps", "1", "--threads", "1")
    assert "a --batch-size of at most 7" in toolkit.error("train", "short.txt", *small, "--batch-size", "8")
    assert "a --num-steps of at most 5" in toolkit.error("train", "short.txt", *small, "--num-steps", "6")
    toolkit.ok("train", "short.txt", *small, "--batch-size", "7")
    toolkit.ok("train", "short.txt", *small, "--num-steps", "5")


@pytest.mark.parametrize("encoding", ["no-such-code", "base64", "punycode"])
def test_unknown_encoding(toolkit: Toolkit, text_file: Path, encoding: str) -> None:
    message = toolkit.error("train", text_file, "--encoding", encoding)
    assert f"'{encoding}' is not a text encoding" in message
    assert "utf-8" in message


def test_evaluate_tells_of_a_bad_text_in_the_same_words(toolkit: Toolkit, run: Path) -> None:
    Path("t.txt").write_bytes(b"a\xff")
    assert "there is no text at 'absent'" in toolkit.error("evaluate", run, "--text", "absent")
    assert "0xff at byte offset 1" in toolkit.error("evaluate", run, "--text", "t.txt")
    Path("t.txt").write_text("qΩqΩ")
    message = toolkit.error("evaluate", run, "--text", "t.txt")
    assert "'Ω' (2)" in message
    assert "--unknown skip" in message


def test_text_that_the_shell_mangled(toolkit: Toolkit, text_file: Path, run: Path) -> None:
    assert "the byte 0xff" in toolkit.error("sample", run, "--prime", "a\udcff")
