"""Which files are read, and what is wrong with one that is no text."""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.config import DataConfig
from charkit.errors import ConfigurationError, TextError
from charkit.text import files
from charkit.text.corpus import open_corpus, open_string
from charkit.text.file_search import find_files
from charkit.text.locations import absolute
from text_support import Write, message_of, text_of


def test_files_and_folders_are_sorted_and_read_once(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "b/deep/3.txt", "b/4.md", "a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = find_files(
        [str(tmp_path / "b"), str(tmp_path / "a.md"), str(tmp_path / "b/../b/1.txt")], ["*.txt"]
    ).files
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.md",
        "b/1.txt",
        "b/2.txt",
        "b/deep/3.txt",
    ]
    with open_corpus(DataConfig(text=(str(tmp_path / "b"),), glob="*.md")) as corpus:
        assert text_of(corpus) == "b/4.md"
        assert corpus.name == "b"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("...txt", "text"),
        ("a b?/c.d.txt", "c.d"),
        ("é!.md", "é"),
        ("x" * 99, "x" * 60),
        ("x" * 59 + "-y", "x" * 59),
    ],
)
def test_a_name_is_safe_for_a_directory(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("ab")
    with open_corpus(DataConfig(text=(str(path),))) as corpus:
        assert corpus.name == name


def test_a_path_that_is_missing() -> None:
    message = message_of(TextError, partial(find_files, ["no/such"], ["*.txt"]))
    assert f"no text at 'no/such' (the current directory is {str(Path.cwd())!r}); give" in message


def test_a_path_that_is_mistyped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anna.txt").touch()
    monkeypatch.chdir(tmp_path)
    for given, meant in (("ana.txt", "anna.txt"), (str(tmp_path / "Anna.txt"), str(tmp_path / "anna.txt"))):
        message = message_of(TextError, partial(find_files, [given], ["*.txt"]))
        assert message.startswith(f"there is no text at {given!r} (did you mean {meant!r}?); give")
    assert "mean" not in message_of(TextError, partial(find_files, [str(tmp_path / "emma.gz")], ["*.txt"]))


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_path_that_can_not_be(path: str) -> None:
    assert "can't read" in message_of(TextError, lambda: find_files([path], ["*.txt"]))


@pytest.mark.parametrize(
    "text", ["It was a dark night;\nthe rain fell.\n" * 500, "dark night " * 500, "a\nb"]
)
@pytest.mark.parametrize("use", [charkit.train, lambda text: charkit.prepare(text, "out")])
def test_the_text_itself_in_place_of_a_path(text: str, use: Callable[[str], object]) -> None:
    message = message_of(TextError, lambda: use(text))
    assert len(message) < 300
    assert message.endswith(
        "; if this is the text itself, save it in a file, or give it as `string` in Python"
    )
    assert (f"({len(text) + text.count(chr(10)) + 2:,} characters)" in message) == (len(text) > 80)


def test_a_long_path_is_shown_in_full() -> None:
    path = "/".join(["folder"] * 30)
    message = message_of(TextError, lambda: find_files([path], ["*.txt"]))
    assert message.startswith(f"there is no text at {path!r} (the current directory is ")


def test_a_folder_without_a_match(tmp_path: Path) -> None:
    message = message_of(TextError, lambda: find_files([str(tmp_path)], ["*.text"]))
    expected = "has no file that matches '*.text'; name its files, or give another `glob`"
    assert message.endswith(f"the directory {str(tmp_path)!r} {expected}")


@pytest.mark.parametrize("glob", ["/*.txt", "/"])
def test_a_glob_that_is_no_pattern(tmp_path: Path, glob: str) -> None:
    assert "is not a pattern" in message_of(TextError, lambda: find_files([str(tmp_path)], [glob]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_a_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    message = message_of(TextError, lambda: find_files([str(tmp_path / "pipe")], ["*.txt"]))
    assert "is not a regular file" in message


@pytest.mark.parametrize("raw", [b"", codecs.BOM_UTF8])
def test_an_empty_text(write: Write, raw: bytes) -> None:
    path = write(raw)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,))))
    assert message == f"{path!r} is empty; give a text with at least two different characters"


def test_two_empty_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").touch()
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(str(tmp_path),))))
    assert message.startswith("the text (2 files) is empty")


def test_a_text_of_one_symbol() -> None:
    message = message_of(TextError, lambda: open_string("aaaa", DataConfig()))
    assert "only one distinct symbol, 'a'; give a text with at least two different characters" in message


def test_a_file_that_can_not_be_opened(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(b"text")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,))))
    assert message.startswith(f"can't read {path!r}: Permission denied;")


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize(
    ("raw", "encoding", "place"),
    [
        (b"0123456\xff89", "utf-8", "invalid byte 0xff at byte offset 7 "),
        (b"01\xe2\x82z", "utf-8", "invalid byte 0xe2 at byte offset 2 "),
        (b"0123\xe2\x82", "utf-8", "invalid byte 0xe2 at byte offset 4 "),
        (b"\xef\xbb\xbf01\xff", "utf-8-sig", "invalid byte 0xff at byte offset 5 "),
        (b"0123\x81", "cp1252", "invalid byte 0x81 at byte offset 4 "),
        (b"\xff\xfea\0b\0\0\xd8c\0", "utf-16", "invalid byte 0x00 at byte offset 6 "),
        (b"a\0b\0c", "utf-16-le", "invalid byte 0x63 at byte offset 4 "),
    ],
)
def test_an_invalid_byte_is_told_with_its_exact_offset(
    write: Write, raw: bytes, encoding: str, place: str
) -> None:
    path = write(raw)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding=encoding)))
    assert message.startswith(f"{path!r} is not {encoding}: {place}")
    assert "`vocabulary='byte'`" in message
    assert "`encoding`" in message


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "undefined", "a\0b", "é", "punycode"])
def test_what_is_no_text_encoding(write: Write, name: str) -> None:
    path = write(b"text")
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding=name)))
    assert message.startswith(f"{name!r} is not a text encoding that charkit can read")


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize(
    ("raw", "encoding", "place"),
    [
        ("é012\0".encode(), "utf-8", "byte offset 5"),
        (b"\0", "latin-1", "byte offset 0"),
        ("ab\0".encode("utf-16"), "utf-16", "character 2"),
    ],
)
def test_a_nul_makes_a_text_binary(write: Write, raw: bytes, encoding: str, place: str) -> None:
    path = write(raw)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding=encoding)))
    assert message.startswith(f"{path!r} is binary: it contains a NUL at {place};")


def test_lone_surrogates_are_refused(write: Write) -> None:
    assert "U+D800" in message_of(TextError, lambda: open_string("a\ud800", DataConfig()))
    path = write(b"a+2AA-")  # UTF-7 lets one through
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding="utf-7")))
    assert message.startswith(f"{path!r}: at position 1, the text contains U+D800, which is not a character;")


def test_a_decoder_with_errors_of_its_own(write: Write) -> None:
    path = write(b"xn--!!.")
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding="idna")))
    # Before Python 3.13 this codec raised an error without a place.
    assert message.startswith(f"{path!r} is not idna: ")
    assert "Invalid extended code point" in message


def test_a_folder_that_can_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, __: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rglob", refuse)
    message = message_of(TextError, lambda: find_files([str(tmp_path)], ["*.txt"]))
    assert message.startswith(f"can't read {str(tmp_path)!r}: Permission denied;")


@pytest.mark.parametrize("after", [b"other", b"more text", b""])
def test_bytes_that_change_while_they_are_read(
    write: Write, after: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(write(b"bytes"))
    monkeypatch.setattr(files, "CHUNK_BYTES", 2)
    os.utime(path, ns=(0, 0))

    def change(_stage: str, _fraction: float) -> None:
        path.write_bytes(after)

    data = DataConfig(text=(str(path),), vocabulary="byte")
    message = message_of(TextError, lambda: open_corpus(data, progress=change))
    assert "changed while it was being read" in message


@pytest.mark.parametrize("after", [b"other text", b"some text and more", b"some"])
def test_a_text_that_changes_while_it_is_read(write: Write, after: bytes) -> None:
    path = write(b"some text!")

    def change(stage: str, fraction: float) -> None:
        if (stage, fraction) == ("reading", 1.0):
            Path(path).write_bytes(after)

    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,)), progress=change))
    assert "changed while it was being read" in message


@pytest.mark.parametrize("stage", ["reading", "encoding"])
def test_an_error_of_a_progress_callback_comes_out_as_it_is(write: Write, stage: str) -> None:
    path = write(b"abc")

    def show(named: str, _fraction: float) -> None:
        if named == stage:
            raise broken

    broken = BrokenPipeError("the window was closed")
    with pytest.raises(BrokenPipeError) as caught:
        open_corpus(DataConfig(text=(path,)), progress=show)
    assert caught.value is broken


def test_several_texts_are_read_in_the_order_in_which_a_run_records_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/z.txt", "m/c.txt", "m/b.txt", "here/l.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "here/z-link.txt").symlink_to(tmp_path / "a/z.txt")
    monkeypatch.chdir(tmp_path / "here")
    texts = ["l.txt", "../m", "z-link.txt"]
    found = find_files(texts, ["*.txt"]).files
    assert list(map(str, found)) == ["l.txt", "z-link.txt", "../m/b.txt", "../m/c.txt"]
    recorded = find_files(list(map(absolute, texts)), ["*.txt"]).files
    assert [path.read_text() for path in recorded] == [path.read_text() for path in found]


def test_a_folder_in_a_folder_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, a search for files would leave it out silently."""
    (tmp_path / "books/locked").mkdir(parents=True)
    (tmp_path / "books/a.txt").write_text("ab")
    real = os.scandir

    def scandir(path: str | os.PathLike[str] = ".") -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    locked = str(tmp_path / "books/locked")
    with open_corpus(DataConfig(text=(str(tmp_path / "books"),))) as corpus:
        assert f"skipped 1 unreadable directory: {locked!r} (Permission denied)" in (corpus.notices)
    message = message_of(TextError, lambda: find_files([str(tmp_path / "books")], ["*.md"]))
    assert "has no file that matches '*.md'" in message
    message = message_of(TextError, lambda: find_files([locked], ["*.txt"]))
    assert message.startswith(f"can't read {locked!r}: Permission denied;")


def test_an_empty_path_is_not_the_working_directory(text_file: Path) -> None:
    (text_file.parent / "work/a.txt").write_text("ab")
    for text in ("", ["", text_file]):
        with pytest.raises(TextError, match="the path of a text is empty; give the path of a text file"):
            charkit.train(text)
    with pytest.raises(ConfigurationError, match="`text` is empty; give one or more paths"):
        charkit.train([])
