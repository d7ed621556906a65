"""``toolkit prepare``, standard input, several patterns and ``--verbose``, as a user types them."""

# Over 300 lines: all ways to name a text, one short test for each.

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charkit
from charkit.runs.temporary_names import temporary_of
from charkit_cli import standard_input
from charkit_cli.main import run as run_toolkit
from cli_support import TINY, Toolkit, start, weights_of
from support import SMALL_TEXT

SHORT = (*TINY, "--max-steps", "5")


@pytest.fixture
def books() -> Path:
    """A folder of texts of three kinds."""
    folder = Path("books")
    (folder / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.c", "deep/c.h"):
        (folder / name).write_text(f"{name}: {SMALL_TEXT}", "utf-8")
    return folder


class StandardInput(io.TextIOWrapper):
    """Standard input with these bytes."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw), "utf-8")


def test_prepare_train_and_check(toolkit: Toolkit, text_file: Path) -> None:
    said = toolkit.ok("prepare", text_file, "--out", "prepared")
    assert said.out.splitlines()[0] == "prepared: prepared"
    assert "symbols, " in said.out
    assert "source: 1 file, " in said.out
    assert said.out.endswith("next: toolkit train prepared\n")
    toolkit.ok("train", "prepared", *SHORT, "--run", "r")
    toolkit.ok("train", text_file, *SHORT, "--run", "s")
    assert weights_of(Path("r")) == weights_of(Path("s"))
    one, other = (toolkit.ok("evaluate", "r", "--text", text) for text in ("prepared", text_file))
    assert one.out.splitlines()[1:] == other.out.splitlines()[1:]
    assert (
        "intact; no symbol has changed since the text was prepared"
        in toolkit.ok("prepare", "--check", "prepared").out
    )
    answer = toolkit.json("prepare", "--check", "prepared")
    assert (answer["files"], answer["path"]) == (1, "prepared")
    symbols = Path("prepared/symbols.bin")
    symbols.write_bytes(bytes(symbols.stat().st_size))
    message = toolkit.error("prepare", "--check", "prepared")
    assert message.startswith(
        "the prepared text 'prepared' can't be used: symbols.bin doesn't match its SHA-256"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "prepare needs a TEXT; to check an existing prepared text, give --check DIR"),
        (("small.txt",), "prepare needs --out DIR, the directory to create"),
        (("--out", "x"), "prepare needs a TEXT"),
        (("small.txt", "--check", "x"), "--check only reads a prepared text"),
        (("--check", "small.txt"), "is not a prepared text"),
        (("absent", "--out", "x"), "there is no text at 'absent'"),
        (("small.txt", "--out", "small.txt"), "'small.txt' already exists; choose another --out"),
        (("small.txt", "--out", "small.txt/x"), "a file is in the way; choose another directory"),
        (
            ("-", "small.txt", "--out", "x"),
            "'-' reads the whole text from standard input; give no other text with it",
        ),
        (("small.txt", "--out", "x", "--max-vocabulary", "3"), "--max-vocabulary allows 3"),
    ],
)
def test_what_prepare_refuses(toolkit: Toolkit, arguments: tuple[str, ...], expected: str) -> None:
    Path("small.txt").write_text(SMALL_TEXT, "utf-8")
    assert expected in toolkit.error("prepare", *arguments)


def test_a_prepared_text_with_more_characters_than_allowed(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("prepare", text_file, "--out", "p")
    for command in (("prepare", "p", "--out", "q"), ("train", "p", *SHORT)):
        assert "but --max-vocabulary allows 3" in toolkit.error(*command, "--max-vocabulary", "3")
    assert not Path("q").exists()


def test_a_run_and_a_prepared_text_of_different_symbols(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("prepare", text_file, "--out", "p")
    toolkit.ok("train", text_file, "--vocabulary", "byte", *SHORT, "--run", "byte")
    assert toolkit.error("train", "p", "--init-from", "byte") == (
        "'p' was prepared with vocabulary 'char', but the run in --init-from has 'byte'; start from another run, or "
        "prepare the text again with vocabulary 'byte'"
    )


def test_several_patterns(toolkit: Toolkit, books: Path) -> None:
    said = toolkit.ok("prepare", books, "--glob", "*.c", "--glob", "*.h", "--out", "code", "--verbose")
    assert [line for line in said.err.splitlines() if line.startswith("read: ")] == [
        "read: books/b.c",
        "read: books/deep/c.h",
    ]
    assert "note: 2 files read" in said.err
    assert charkit.check_prepared("code").symbols == 2 * len(SMALL_TEXT) + len("b.c: deep/c.h: ")
    trained = toolkit.ok("train", books, "--glob", "*.c", "--glob", "*.h", *SHORT, "--run", "r", "--verbose")
    assert "read: books/b.c\nread: books/deep/c.h\n" in trained.err
    assert "note: 2 files read" in trained.err
    toolkit.ok("train", "code", *SHORT, "--run", "s")
    assert weights_of(Path("r")) == weights_of(Path("s"))
    quiet = toolkit.ok("train", "--resume", "r", "--max-steps", "7", "--threads", "1")
    assert "note: 2 files read" in quiet.err
    assert "read: " not in quiet.err.replace("note: 2 files read", "")
    scored = toolkit.ok("evaluate", "r", "--text", books, "--unknown", "skip", "--verbose")
    assert "read: books/b.c\nread: books/deep/c.h\n" in scored.err


def test_one_pattern_is_recorded_as_ever(toolkit: Toolkit, books: Path) -> None:
    toolkit.ok("train", books, "--glob", "*.c", *SHORT, "--run", "one")
    toolkit.ok("train", books, "--set", "data.glob=['*.c', '*.h']", *SHORT, "--run", "two")
    assert '"glob": "*.c"' in Path("one/config.json").read_text()
    assert charkit.load_run("two").config.data.glob == ("*.c", "*.h")
    assert "matches '*.x' or '*.y'" in toolkit.error("train", books, "--glob", "*.x", "--glob", "*.y")


# ---- standard input -------------------------------------------------------------------------------------


def test_standard_input_is_a_text(toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = text_file.read_bytes()
    for arguments in (("train", "-", *SHORT, "--run", "r"), ("prepare", "-", "--out", "p")):
        monkeypatch.setattr(sys, "stdin", StandardInput(raw))
        toolkit.ok(*arguments)
    toolkit.ok("train", text_file, *SHORT, "--run", "s")
    toolkit.ok("train", "p", *SHORT, "--run", "t")
    assert weights_of(Path("r")) == weights_of(Path("s")) == weights_of(Path("t"))
    assert Path("r/text.txt").read_bytes() == raw
    toolkit.ok("train", "--resume", "r", "--max-steps", "7", "--threads", "1")
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    scored = toolkit.json("evaluate", "s", "--text", "-")
    assert scored["loss"] == toolkit.json("evaluate", "s", "--text", text_file)["loss"]


def test_standard_input_takes_the_place_of_the_text_in_a_file_of_settings(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("settings.toml").write_text('[data]\ntext = ["another.txt"]\n')
    monkeypatch.setattr(sys, "stdin", StandardInput(SMALL_TEXT.encode()))
    toolkit.ok("train", "-", "--config", "settings.toml", *SHORT, "--run", "r")
    assert Path("r/text.txt").read_text("utf-8") == SMALL_TEXT
    message = toolkit.error("train", "-", "--resume", "r")
    assert message.startswith("a run is resumed on the text that it was trained on, and standard input can't")


def test_standard_input_in_another_encoding(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = SMALL_TEXT.encode("cp1252")
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    assert "standard input is not utf-8: invalid byte 0xef at byte offset" in toolkit.error(
        "train", "-", *SHORT
    )
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    toolkit.ok("train", "-", "--encoding", "cp1252", *SHORT, "--run", "r")
    assert Path("r/text.txt").read_text("utf-8") == SMALL_TEXT


def test_standard_input_is_read_in_the_encoding_of_the_runs_text(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = SMALL_TEXT.encode("cp1252")
    Path("old.txt").write_bytes(raw)
    toolkit.ok("train", "old.txt", "--encoding", "cp1252", *SHORT, "--run", "r")
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    scored = toolkit("evaluate", "r", "--text", "-", "--json")
    assert json.loads(scored.out)["loss"] == toolkit.json("evaluate", "r", "--text", "old.txt")["loss"]
    assert "note: standard input is read as cp1252, like the run's own text" in scored.err
    Path("new.txt").write_text(SMALL_TEXT, "utf-8")
    assert (
        "note: the text is read as cp1252, like the run's own text"
        in toolkit("evaluate", "r", "--text", "new.txt").err
    )
    toolkit.ok("prepare", "new.txt", "--out", "prepared")
    assert "is read as" not in toolkit.ok("evaluate", "r", "--text", "prepared").err
    toolkit.ok("train", "old.txt", "--vocabulary", "byte", *SHORT, "--run", "b")
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    message = toolkit.error("evaluate", "b", "--text", "-")
    assert message.startswith("standard input is not utf-8: invalid byte 0xef at byte offset")
    assert message.endswith(
        "; save it as a file, which this run reads as bytes, and give its path with --text"
    )


def test_standard_input_is_decoded_as_a_file_is(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ``bytes.decode`` guesses the byte order that its incremental decoder, for files, refuses to guess."""
    monkeypatch.setattr(sys, "stdin", StandardInput(SMALL_TEXT.encode("utf-16-le")))
    message = toolkit.error("train", "-", "--encoding", "utf-16", *SHORT)
    assert message.startswith("standard input is not utf-16: ")
    monkeypatch.setattr(sys, "stdin", StandardInput(SMALL_TEXT.encode("utf-16")))
    toolkit.ok("train", "-", "--encoding", "utf-16", *SHORT, "--run", "r")
    assert Path("r/text.txt").read_text("utf-8") == SMALL_TEXT


@pytest.mark.parametrize(
    ("raw", "encoding", "place"),
    [
        (b"\xef\xbb\xbfab\xffcd", "utf-8-sig", "invalid byte 0xff at byte offset 5; "),
        (b"ab\xffcd", "utf-8-sig", "invalid byte 0xff at byte offset 2; "),
        (b"\xff\xfea\0b\0\0\xd8c\0", "utf-16", "invalid byte 0x00 at byte offset 6; "),
    ],
)
def test_an_invalid_byte_on_standard_input_is_named_with_its_offset(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, raw: bytes, encoding: str, place: str
) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput(raw))
    message = toolkit.error("train", "-", "--encoding", encoding, *SHORT)
    assert message.startswith(f"standard input is not {encoding}: {place}")


def test_standard_input_that_is_no_text(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput(b""))
    assert "is empty" in toolkit.error("train", "-", *SHORT)
    monkeypatch.setattr(sys, "stdin", StandardInput(SMALL_TEXT.encode()))
    assert "--glob chooses files in a directory" in toolkit.error("train", "-", "--glob", "*.c", *SHORT)
    assert "--glob chooses files in a directory" in toolkit.error(
        "prepare", "-", "--glob", "*.c", "--out", "x"
    )
    monkeypatch.setattr(sys, "stdin", None)
    for arguments in (("train", "-", *SHORT), ("prepare", "-", "--out", "x")):
        assert "standard input is closed; pipe the text into it, or give a file" in toolkit.error(*arguments)


# ---- processes that end early ----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_leaves_nothing_that_lasts(text_file: Path, number: signal.Signals) -> None:
    code = (
        "import os, signal, sys; import charkit;"
        f"charkit.prepare({str(text_file)!r}, 'p', progress=lambda stage, share:"
        f" stage == 'hashing' and os.kill(os.getpid(), {int(number)}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode
    left = os.listdir()
    if number == signal.SIGINT:
        assert left == []
        return
    assert [temporary_of(name) for name in left] == ["p"]
    assert run_toolkit(["prepare", str(text_file), "--out", "p"]) == 0
    assert os.listdir() == ["p"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "the terminal was closed"),
    ],
)
def test_a_signal_ends_prepare_in_good_order(number: signal.Signals, said: str) -> None:
    read, write = os.pipe()
    os.write(write, SMALL_TEXT.encode())
    child = start("prepare", "-", "--out", "p", standard_input=read)
    os.close(read)
    while not os.listdir():  # it has begun, and waits for more of the text
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    _, err = child.communicate()
    os.close(write)
    assert child.returncode == 128 + number
    assert err.splitlines()[-1] == said
    assert os.listdir() == []


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the sizes that are asked for, whatever comes at a time; it waits in turns, after which signals act."""
    read, write = os.pipe()
    turns = iter([False, True, True, False, False, True, True])
    monkeypatch.setattr(standard_input, "readable", lambda handles, _seconds: handles if next(turns) else [])
    stream = standard_input._Input(read)
    os.write(write, b"The grey")
    assert stream.read(3) == b"The"
    assert stream.read(5) == b" grey"
    os.write(write, b" cat sat")
    os.close(write)
    assert stream.read() == b" cat sat"
    os.close(read)
    assert list(turns) == []


def test_a_pipe_can_be_prepared(text_file: Path) -> None:
    read, write = os.pipe()
    os.write(write, text_file.read_bytes())
    os.close(write)
    child = start("prepare", "-", "--out", "p", standard_input=read)
    os.close(read)
    child.communicate()
    assert child.returncode == 0
    assert charkit.check_prepared("p").sha256 == charkit.prepare(text_file, "q").sha256
