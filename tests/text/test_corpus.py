"""Text on disk becomes symbols: every encoding and line end, every bad input, splits and storage."""

from __future__ import annotations

import codecs
import errno
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charkit.text.files
from charkit.config import DataConfig
from charkit.errors import CharkitError, ConfigurationError, StorageError, TextError, UnknownSymbolsError
from charkit.text.corpus import Corpus, open_corpus, open_string
from charkit.text.encoded_file import scratch_folder
from charkit.text.files import LineEnds, find_files
from charkit.text.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    monkeypatch.setenv("CHARKIT_SCRATCH", str(folder))
    return folder


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a border between chunks after every third byte."""
    monkeypatch.setattr(charkit.text.files, "CHUNK_BYTES", 3)


Write = Callable[[bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(raw: bytes) -> str:
        path = tmp_path / "some text.txt"
        path.write_bytes(raw)
        return str(path)

    return write_file


def text_of(corpus: Corpus) -> str:
    return corpus.vocabulary.decode(corpus.symbols)


def message_of(kind: type[CharkitError], action: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


# What a text becomes


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
        assert corpus.notices == ("CRLF line ends read as LF: 5",)


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize("pad", range(4))
def test_line_ends_become_lf_and_are_counted(write: Write, pad: int) -> None:
    text = "x" * pad + "a\r\nb\rc\r\r\nd\n\r"
    path = write(text.encode())
    with open_corpus(DataConfig(text=(path,))) as corpus:
        assert text_of(corpus) == "x" * pad + "a\nb\nc\n\nd\n\n"
        assert corpus.notices == ("CRLF line ends read as LF: 2", "CR line ends read as LF: 3")
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
        assert corpus.notices == ("byte-order marks dropped: 2",)


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
    with open_string(text, DataConfig()) as corpus:
        assert corpus.symbols.dtype == dtype
        assert text_of(corpus) == text


def test_the_default_is_pythons_language_reference() -> None:
    with open_corpus(DataConfig()) as corpus:
        assert corpus.name == "python-reference"
        assert len(corpus.symbols) > 100_000
        assert "generator expression" in text_of(corpus)
        assert "no text was given" in corpus.notices[0]


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


# A vocabulary that is given


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
        assert corpus.notices == ("symbols skipped, which the vocabulary lacks: 3 of 5",)


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


# Splits, pages, progress


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
    assert message == "no split 'dev'; splits are train, validation, test, all"


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


# Which files


def test_files_and_folders_are_sorted_and_read_once(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "b/deep/3.txt", "b/4.md", "a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = find_files([str(tmp_path / "b"), str(tmp_path / "a.md"), str(tmp_path / "b/../b/1.txt")], "*.txt")
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
    ("file", "name"), [("...txt", "text"), ("a b?/c.d.txt", "c.d"), ("é!.md", "é"), ("x" * 99, "x" * 60)]
)
def test_a_name_is_safe_for_a_directory(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("ab")
    with open_corpus(DataConfig(text=(str(path),))) as corpus:
        assert corpus.name == name


def test_a_path_that_is_missing() -> None:
    message = message_of(TextError, lambda: find_files(["no/such"], "*.txt"))
    assert message == "no text at 'no/such'; give the path of a text file or folder"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_path_that_can_not_be(path: str) -> None:
    assert "can't read" in message_of(TextError, lambda: find_files([path], "*.txt"))


def test_a_folder_without_a_match(tmp_path: Path) -> None:
    message = message_of(TextError, lambda: find_files([str(tmp_path)], "*.text"))
    assert f"the folder {str(tmp_path)!r} has no file that matches '*.text'; give another `glob`" in message


@pytest.mark.parametrize("glob", ["/*.txt", "/"])
def test_a_glob_that_is_no_pattern(tmp_path: Path, glob: str) -> None:
    assert "is not a pattern" in message_of(TextError, lambda: find_files([str(tmp_path)], glob))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_a_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    message = message_of(TextError, lambda: find_files([str(tmp_path / "pipe")], "*.txt"))
    assert "is not a file" in message


# What a text may not be


@pytest.mark.parametrize("raw", [b"", codecs.BOM_UTF8])
def test_an_empty_text(write: Write, raw: bytes) -> None:
    path = write(raw)
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,))))
    assert message == f"{path!r} is empty; give a text with something in it"


def test_two_empty_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").touch()
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(str(tmp_path),))))
    assert message.startswith("the text (2 files) is empty")


def test_a_text_of_one_symbol() -> None:
    message = message_of(TextError, lambda: open_string("aaaa", DataConfig()))
    assert "one distinct symbol only, 'a'; a model takes at least two" in message


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


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "undefined", "a\0b", "é"])
def test_what_is_no_text_encoding(write: Write, name: str) -> None:
    path = write(b"text")
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding=name)))
    assert message.startswith(f"{name!r} is not an encoding of text that Python knows")


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
    assert message.startswith(f"{path!r} is binary: it holds a NUL at {place};")


def test_lone_surrogates_are_refused(write: Write) -> None:
    assert "U+D800" in message_of(TextError, lambda: open_string("a\ud800", DataConfig()))
    path = write(b"a+2AA-")  # UTF-7 lets one through
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding="utf-7")))
    assert message.startswith(f"{path!r}: the text holds U+D800, not a character, at position 1;")


def test_a_decoder_with_errors_of_its_own(write: Write) -> None:
    path = write(b"a-!!")
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,), encoding="punycode")))
    # Before Python 3.13 this codec raised an error without a place.
    assert message.startswith(f"{path!r} is not punycode: ")
    assert "Invalid extended code point" in message


def test_a_folder_that_can_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, __: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rglob", refuse)
    message = message_of(TextError, lambda: find_files([str(tmp_path)], "*.txt"))
    assert message.startswith(f"can't read {str(tmp_path)!r}: Permission denied;")


@pytest.mark.parametrize("after", [b"other text", b"some text and more", b"some"])
def test_a_text_that_changes_while_it_is_read(write: Write, after: bytes) -> None:
    path = write(b"some text!")

    def change(stage: str, fraction: float) -> None:
        if (stage, fraction) == ("reading", 1.0):
            Path(path).write_bytes(after)

    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(path,)), progress=change))
    assert "changed while it was read" in message


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


# Where the encoded text goes


def test_nothing_is_left_on_disk(scratch: Path) -> None:
    with open_string("abc", DataConfig()):
        assert list(scratch.iterdir()) == []


class FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FullDisk())
    message = message_of(StorageError, lambda: open_string("ab" * 600, DataConfig()))
    assert message.startswith(
        f"can't write the encoded text (1,200 bytes) in {str(scratch)!r}: No space left"
    )
    assert "set CHARKIT_SCRATCH" in message


def test_a_scratch_folder_that_can_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHARKIT_SCRATCH", str(tmp_path / "file" / "x"))
    message = message_of(StorageError, lambda: open_string("ab", DataConfig()))
    assert message.startswith(f"CHARKIT_SCRATCH is {str(tmp_path / 'file' / 'x')!r}, which can't be made")


def test_scratch_is_the_users_cache_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARKIT_SCRATCH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert scratch_folder() == tmp_path / "cache" / "charkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert scratch_folder() == tmp_path / "home" / ".cache" / "charkit"


@pytest.fixture
def unusable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.delenv("CHARKIT_SCRATCH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("unusable_cache")
def test_scratch_without_a_cache_is_the_systems_folder() -> None:
    assert scratch_folder() == Path(tempfile.gettempdir())
