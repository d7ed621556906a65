"""A prepared text is the same text as its source, in every run; and nothing of a stranger's is believed."""

# Over 300 lines: one format, one short test for each thing that it promises or refuses.

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
import charkit.text.prepared
import charkit.text.verified
from charkit.config import DataConfig
from charkit.errors import ConfigurationError, StorageError, TextError, UnknownSymbolsError
from charkit.runs import folder_files
from charkit.runs.run import Run
from charkit.text.corpus import first_symbols, open_corpus
from charkit.text.prepared_manifest import MANIFEST, SYMBOLS, VOCABULARY
from charkit.text.vocabulary import Vocabulary
from support import SMALL
from text_support import message_of, text_of
from training_support import bits_of, losses_of, train

TEXT = "The grey cat naïvely sat;\r\nit cost 5 €.\n" * 40
RAW = b"\xef\xbb\xbf" + TEXT.encode()
SIZE = len(TEXT.replace("\r\n", "\n"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a cat.txt"
    path.write_bytes(RAW)
    return path


@pytest.fixture
def prepared(source: Path) -> Path:
    return charkit.prepare(source, "prepared").path


def opened(path: Path, **settings: Any) -> DataConfig:
    return DataConfig(text=(str(path),), **settings)


# ---- the same text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"newlines": "keep"}, {"vocabulary": "byte"}, {"encoding": "latin-1"}]
)
def test_a_prepared_text_is_its_source(source: Path, settings: dict[str, Any]) -> None:
    made = charkit.prepare(source, "prepared", **settings)
    with open_corpus(opened(source, **settings)) as want, open_corpus(opened(made.path, **settings)) as got:
        assert got.symbols.dtype == want.symbols.dtype
        assert got.symbols.tobytes() == want.symbols.tobytes()
        assert got.vocabulary == want.vocabulary
        for same in ("sha256", "name", "notices", "changes", "source_bytes"):
            assert getattr(got, same) == getattr(want, same)
        assert got.split("validation") == want.split("validation")
    assert (made.sha256, made.source_bytes) == (hashlib.sha256(RAW).hexdigest(), len(RAW))
    assert sorted(os.listdir("prepared")) == sorted([MANIFEST, SYMBOLS, VOCABULARY])


def test_settings_without_effect_are_noted(source: Path) -> None:
    made = charkit.prepare(source, "prepared", vocabulary="byte", encoding="latin-1")
    (note,) = [line for line in made.notices if "no effect" in line]
    assert note == "`encoding` has no effect with the vocabulary 'byte'"
    of_copy = charkit.prepare(made.path, "copy").notices
    of_run = Run.open(train(made.path, max_steps=1).run)
    assert not any("no effect" in line for line in of_copy)
    assert of_run.config.data.vocabulary == "byte"


def test_what_was_prepared_is_a_table_in_a_notebook(source: Path) -> None:
    made = charkit.prepare(source, "prepared")
    table = made._repr_html_()
    assert table.startswith("<table>")
    for shown in (">prepared<", made.sha256, f">{made.vocabulary_size} symbols<", f">{len(RAW):,} bytes<"):
        assert shown in table


def test_its_manifest_names_the_folder_too(prepared: Path) -> None:
    with open_corpus(opened(prepared / MANIFEST)) as corpus, open_corpus(opened(prepared)) as same:
        assert text_of(corpus) == text_of(same)


def test_runs_are_the_same_and_go_on_with_the_other(text_file: Path) -> None:
    made = charkit.prepare(text_file, "prepared").path
    on_source, on_prepared = train(text_file, max_steps=20), train(made, max_steps=20)
    assert bits_of(on_source) == bits_of(on_prepared)
    assert losses_of(on_source) == losses_of(on_prepared)
    assert on_prepared.run.name == "small-2"
    for result, other in ((on_source, made), (on_prepared, text_file)):
        train(other, resume=result.run, max_steps=40)
    assert bits_of(on_source) == bits_of(on_prepared)
    scores = {
        charkit.load_run(result.run).evaluate(text).loss
        for result in (on_source, on_prepared)
        for text in (text_file, made)
    }
    assert len(scores) == 1


def test_a_run_of_settings_that_differ_from_the_defaults_resumes_with_the_source(tmp_path: Path) -> None:
    path = tmp_path / "cp.txt"
    path.write_bytes(("déjà vu, naïve\r\n" * 100).encode("cp1252"))
    made = charkit.prepare(path, "prepared", encoding="cp1252", newlines="keep").path
    result = train(made, max_steps=10)
    data = Run.open(result.run).config.data
    assert (data.encoding, data.newlines, data.text) == ("cp1252", "keep", (str(made.resolve()),))
    train(path, resume=result.run, max_steps=12)
    assert charkit.load_run(result.run).evaluate(made).loss > 0


@pytest.mark.parametrize("more", ["", "and ðis is new"])
def test_with_another_vocabulary_it_is_encoded_anew(source: Path, prepared: Path, more: str) -> None:
    vocabulary = Vocabulary("char", tuple(sorted(set(TEXT) | set(more), reverse=True)))
    with (
        open_corpus(opened(source), vocabulary) as want,
        open_corpus(opened(prepared), vocabulary) as got,
    ):
        assert got.symbols.tobytes() == want.symbols.tobytes()
    lacking = Vocabulary.of_text("Theĝ")
    for data in (opened(source), opened(prepared)):
        with pytest.raises(UnknownSymbolsError, match=r"'t' \(160\)"):
            open_corpus(data, lacking)
        with (
            open_corpus(data, lacking, unknown="skip") as few,
            open_corpus(data, lacking, extend=True) as more_of,
        ):
            assert set(text_of(few)) == set("The")
            assert more_of.vocabulary.symbols[:4] == lacking.symbols
            assert "skipped symbols" in few.notices[-1]
    found = [first_symbols(data, lacking, 50) for data in (opened(source), opened(prepared))]
    np.testing.assert_array_equal(*found)


def test_a_prepared_text_can_be_copied_with_a_check(prepared: Path) -> None:
    charkit.prepare(prepared, "copy")
    for name in (MANIFEST, SYMBOLS, VOCABULARY):
        assert Path("copy", name).read_bytes() == (prepared / name).read_bytes()


def test_a_copy_of_a_folder_that_was_written_in_another_way_is_whole(prepared: Path) -> None:
    vocabulary = json.dumps(json.loads((prepared / VOCABULARY).read_bytes()), indent=3).encode()
    (prepared / VOCABULARY).write_bytes(vocabulary)
    manifest = json.loads((prepared / MANIFEST).read_bytes())
    manifest["vocabulary"] = {"bytes": len(vocabulary), "sha256": hashlib.sha256(vocabulary).hexdigest()}
    (prepared / MANIFEST).write_text(json.dumps(manifest))
    charkit.check_prepared(prepared)
    charkit.prepare(prepared, "copied")
    assert charkit.check_prepared("copied").symbols == SIZE


def test_another_name_of_the_encoding_is_no_other_encoding(prepared: Path) -> None:
    assert charkit.prepare(prepared, "copied", encoding="UTF8").symbols == SIZE
    with pytest.raises(
        ConfigurationError, match="was prepared with encoding 'utf-8', but 'no-such' was given"
    ):
        charkit.prepare(prepared, "another", encoding="no-such")


@pytest.mark.parametrize("stream", [5, "text", io.StringIO("text")], ids=["number", "string", "text stream"])
def test_what_is_no_binary_stream_is_refused(stream: Any) -> None:
    message = r"^`stream` must be a binary file, such as open\('text\.txt', 'rb'\); given "
    with pytest.raises(ConfigurationError, match=message):
        charkit.prepare(None, "nothing", stream=stream)
    assert not Path("nothing").exists()


def test_bytes_of_a_stream(source: Path) -> None:
    made = charkit.prepare(None, "from-stream", stream=io.BytesIO(RAW))
    charkit.prepare(source, "from-file")
    assert Path("from-stream", SYMBOLS).read_bytes() == Path("from-file", SYMBOLS).read_bytes()
    assert (made.file_count, made.sha256) == (0, hashlib.sha256(RAW).hexdigest())


def test_a_comparison_takes_a_prepared_text(prepared: Path) -> None:
    from charkit_comparison.request import ComparisonRequest

    small = {"model": {"lstm_size": 4}, "data": {"batch_size": 4, "num_steps": 8}}
    report = ComparisonRequest(
        str(prepared), small, backends=["numpy"], max_steps=3, rounds=1, threads=1, examine=0
    ).run()
    assert (report.text.name, report.text.sha256) == ("a-cat", hashlib.sha256(RAW).hexdigest())


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"newlines": "keep"}, "was prepared with newlines 'lf', but 'keep' was given; leave `newlines` out"),
        ({"vocabulary": "byte"}, "was prepared with vocabulary 'char', but 'byte' was given"),
        ({"encoding": "cp1252"}, "was prepared with encoding 'utf-8', but 'cp1252' was given"),
        ({"settings": {"data": {"glob": "*.md"}}}, "`glob` chooses files in a directory, but "),
    ],
)
def test_settings_that_ask_for_another_reading(
    prepared: Path, settings: dict[str, Any], expected: str
) -> None:
    assert expected in message_of(ConfigurationError, lambda: train(prepared, **settings))
    assert not Path("runs").exists()


def test_a_run_that_reads_its_text_in_another_way_refuses_it(source: Path) -> None:
    made = charkit.prepare(source, "prepared", newlines="keep").path
    run = train(source, max_steps=2).run
    message = message_of(TextError, lambda: train(made, resume=run, max_steps=4))
    assert "was prepared with newlines 'keep', but 'lf' is needed" in message
    byte_run = train(source, max_steps=2, vocabulary="byte").run
    message = message_of(TextError, lambda: charkit.load_run(byte_run).evaluate(made))
    assert "was prepared with vocabulary 'char', but 'byte' is needed" in message


def test_it_stands_alone(source: Path, prepared: Path) -> None:
    message = message_of(TextError, lambda: open_corpus(DataConfig(text=(str(prepared), str(source)))))
    assert message.startswith(
        "'prepared' is a prepared text, which can't be combined with others; given 2 texts"
    )


def test_a_folder_that_exists_is_left_alone(source: Path, prepared: Path) -> None:
    before = (prepared / SYMBOLS).read_bytes()
    assert message_of(StorageError, lambda: charkit.prepare(source, prepared)).startswith(
        "'prepared' already exists;"
    )
    assert (prepared / SYMBOLS).read_bytes() == before


@pytest.mark.parametrize("raw", [b"", b"\xff", b"aaaa", b"a\0b"])
def test_a_text_that_can_not_be_prepared_leaves_nothing(source: Path, raw: bytes) -> None:
    source.write_bytes(raw)
    message_of(TextError, lambda: charkit.prepare(source, "new/prepared"))
    assert os.listdir() == []


def test_another_preparation_at_the_same_time_leaves_it_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one looks for what killed ones left when the first is about to name its folder."""
    real = folder_files.OpenFolder.sync_all
    unreadable = tmp_path / "unreadable.txt"
    unreadable.write_bytes(b"\xff")
    tries = 0

    def prepare_another(folder: folder_files.OpenFolder) -> None:
        nonlocal tries
        real(folder)
        if not tries:
            tries = 1
            with pytest.raises(TextError):
                charkit.prepare(unreadable, "prepared")

    monkeypatch.setattr(folder_files.OpenFolder, "sync_all", prepare_another)
    charkit.prepare(source, "prepared")
    assert tries == 1
    assert charkit.check_prepared("prepared").symbols > 0


def test_out_in_the_text_itself(tmp_path: Path, source: Path) -> None:
    message = message_of(StorageError, lambda: charkit.prepare(tmp_path, tmp_path / "prepared"))
    assert "would be inside the text" in message


def test_more_characters_than_allowed(source: Path, prepared: Path) -> None:
    with pytest.raises(TextError, match="distinct characters, but `max_vocabulary` allows 5"):
        charkit.prepare(source, "few", max_vocabulary=5)
    with pytest.raises(TextError, match="distinct characters, but `max_vocabulary` allows 5"):
        open_corpus(opened(prepared, max_vocabulary=5))

    message = message_of(TextError, lambda: charkit.prepare(prepared, "few", max_vocabulary=5))
    assert "distinct characters, but `max_vocabulary` allows 5" in message
    assert not Path("few").exists()
    size = charkit.check_prepared(prepared).vocabulary_size
    assert charkit.prepare(prepared, "copied", max_vocabulary=size).vocabulary_size == size


@pytest.mark.parametrize(
    ("arguments", "settings", "expected"),
    [
        (
            (5, "z"),
            None,
            "`text` must be one or more paths; given 5; give a text that is not in a file as",
        ),
        ((["a", 5], "z"), None, "`text` must be one or more paths; given 5;"),
        ((b"text", "z"), None, "`text` must be one or more paths; given b'text';"),
        (([], "z"), None, "`text` is empty; give one or more paths, or a `stream` of the text"),
        (("t.txt", 5), None, "`out` must be a path; given 5"),
        (("a\0b", "z"), None, "`text` must not contain a null character; given 'a\\x00b'"),
        (("t.txt", "a\0b"), None, "`out` must not contain a null character; given 'a\\x00b'"),
        (
            ("t.txt", "z"),
            [1],
            "`settings` must be a mapping of settings, such as {'encoding': 'cp1252'}; given [1]",
        ),
        (
            ("t.txt", "z"),
            {"batch_size": 4, "glob": "*.md", "text": "other.txt"},
            "`settings` may contain only glob, vocabulary, max_vocabulary, encoding, newlines; leave 'batch_size', "
            "'text' out",
        ),
    ],
)
def test_arguments_of_a_wrong_kind(arguments: tuple[Any, Any], settings: Any, expected: str) -> None:
    Path("t.txt").write_text(TEXT)
    message = message_of(ConfigurationError, lambda: charkit.prepare(*arguments, settings=settings))
    assert message.startswith(expected)
    assert os.listdir() == ["t.txt"]


def test_settings_of_reading_are_used(source: Path) -> None:
    settings = {"glob": None, "vocabulary": "byte", "max_vocabulary": 9, "encoding": "cp1252"}
    made = charkit.prepare(source, "bytes", settings=settings | {"newlines": "keep"})
    assert (made.vocabulary_size, made.symbols) == (256, len(RAW))


def test_a_run_to_start_from_that_reads_another_kind_of_symbol(source: Path, prepared: Path) -> None:
    run = train(source, max_steps=1, vocabulary="byte").run
    message = message_of(ConfigurationError, lambda: charkit.train(prepared, init_from=run))
    assert message == (
        "'prepared' was prepared with vocabulary 'char', but the run in `init_from` has 'byte'; start from another "
        "run, or prepare the text again with vocabulary 'byte'"
    )
    for asking in (
        lambda: charkit.prepare(prepared, "copied", vocabulary="byte"),
        lambda: charkit.train(prepared, vocabulary="byte"),
    ):
        assert "but 'byte' was given; leave `vocabulary` out" in message_of(ConfigurationError, asking)


# ---- what a stranger may have made -----------------------------------------------------------------------


def manifest_with(changed: dict[str, Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        for key, value in changed.items():
            part, _, name = key.rpartition(".")
            (content[part] if part else content)[name] = value
        (folder / MANIFEST).write_text(json.dumps(content))

    return change


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def link(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def pipe(folder: Path) -> None:
    (folder / SYMBOLS).unlink()
    os.mkfifo(folder / SYMBOLS)


def symbols_of_none(folder: Path) -> None:
    """Symbols that fit their manifest, and one of which the vocabulary lacks."""
    raw = bytearray((folder / SYMBOLS).read_bytes())
    raw[700] = 250
    (folder / SYMBOLS).write_bytes(raw)
    manifest_with({"symbols.sha256": hashlib.sha256(raw).hexdigest()})(folder)


def vocabulary_in_disorder(folder: Path) -> None:
    symbols = json.loads((folder / VOCABULARY).read_text())["symbols"]
    content = Vocabulary("char", tuple(reversed(symbols))).to_json().encode()
    (folder / VOCABULARY).write_bytes(content)
    manifest_with({"vocabulary.sha256": hashlib.sha256(content).hexdigest()})(folder)


CRAFTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no JSON": (written(MANIFEST, b"{"), "charkit-text.json: it is not valid JSON"),
    "keys twice": (written(MANIFEST, b'{"format": 1, "format": 1}'), "it contains the key 'format' twice"),
    "deep": (written(MANIFEST, b"[" * 60_000), "charkit-text.json: it is nested too deeply"),
    "huge": (written(MANIFEST, b" " * 70_000), "has 70,000 bytes, but at most 65,536 are allowed"),
    "a list": (written(MANIFEST, b"[]"), "charkit-text.json: "),
    "a later format": (
        manifest_with({"format": 9}),
        "it is in format 9, but this version of charkit reads format 1",
    ),
    "another key": (manifest_with({"code": "x"}), "code "),
    "a name that leaves": (
        manifest_with({"name": "../../x"}),
        "the name is not one that charkit would choose",
    ),
    "no encoding": (manifest_with({"reading.encoding": "rot13"}), "'rot13' is not a text encoding"),
    "another kind": (
        manifest_with({"reading.vocabulary": "byte"}),
        "is of kind char, but charkit-text.json says byte",
    ),
    "another type": (
        manifest_with({"symbols.type": "uint16"}),
        f"must take {SIZE:,} bytes as uint8; the manifest says {SIZE:,} bytes as uint16",
    ),
    "too many symbols": (manifest_with({"symbols.count": 10**15}), "1,000,000,000,000,000 symbols from "),
    "a truth value": (manifest_with({"symbols.count": True}), "symbols.count"),
    "longer than said": (
        written(SYMBOLS, bytes(1561)),
        "symbols.bin has 1,561 bytes, but charkit-text.json says",
    ),
    "shorter than said": (written(SYMBOLS, bytes(9)), "symbols.bin has 9 bytes"),
    "other symbols": (
        written(SYMBOLS, bytes(SIZE)),
        "symbols.bin doesn't match its SHA-256",
    ),
    "a symbol of none": (
        symbols_of_none,
        "symbols.bin contains the index 250, but the vocabulary has only 2",
    ),
    "another vocabulary": (
        written(VOCABULARY, b"{}"),
        "vocabulary.json doesn't match its SHA-256",
    ),
    "disorder": (vocabulary_in_disorder, "vocabulary.json does not list its symbols in order"),
    "no vocabulary": (lambda folder: (folder / VOCABULARY).unlink(), "vocabulary.json: No such file"),
    "no symbols": (lambda folder: (folder / SYMBOLS).unlink(), "symbols.bin: No such file"),
    "linked manifest": (
        link(MANIFEST),
        "is a symbolic link, but a prepared text may contain only regular files",
    ),
    "linked symbols": (
        link(SYMBOLS),
        "is a symbolic link, but a prepared text may contain only regular files",
    ),
    "a pipe": (pipe, "is a named pipe, but a prepared text may contain only regular files"),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_folder_is_refused(prepared: Path, case: str) -> None:
    change, expected = CRAFTED[case]
    change(prepared)
    message = message_of(TextError, lambda: train(prepared, max_steps=2))
    assert message.startswith("the prepared text 'prepared' can't be used: ")
    assert expected in message
    assert not Path("runs").exists()
    assert expected in message_of(TextError, lambda: charkit.check_prepared(prepared))
    assert expected in message_of(TextError, lambda: charkit.prepare(prepared, "copy"))
    assert not Path("copy").exists()


def test_what_is_no_prepared_text_is_not_checked(tmp_path: Path) -> None:
    assert "is not a prepared text" in message_of(TextError, lambda: charkit.check_prepared(tmp_path))


# ---- it is read in full once ----------------------------------------------------------------------------


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of symbols of each chunk that was compared with the SHA-256, on a machine that has seen none yet."""
    monkeypatch.setenv("CHARKIT_SCRATCH", str(tmp_path / "another scratch"))
    chunks: list[int] = []
    sound = charkit.text.prepared.PreparedText._checked

    def counted(*arguments: Any) -> Any:
        for chunk in sound(*arguments):
            chunks.append(chunk.size)
            yield chunk

    monkeypatch.setattr(charkit.text.prepared.PreparedText, "_checked", counted)
    monkeypatch.setattr(charkit.text.verified, "TICK_NANOSECONDS", 0)
    return chunks


def test_the_first_use_reads_everything_and_later_ones_do_not(prepared: Path, hashed: list[int]) -> None:
    for _ in range(3):
        open_corpus(opened(prepared)).close()
        assert sum(hashed) == SIZE
    assert charkit.check_prepared(prepared).symbols == SIZE
    assert sum(hashed) == 2 * SIZE


def test_a_change_is_found_whatever_its_time_says(prepared: Path, hashed: list[int]) -> None:
    open_corpus(opened(prepared)).close()
    path = prepared / SYMBOLS
    before = path.stat()
    path.write_bytes(bytes(SIZE))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "doesn't match its SHA-256" in message_of(TextError, lambda: open_corpus(opened(prepared)))
    assert hashed


def test_what_another_user_found_right_does_not_count(
    prepared: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_corpus(opened(prepared)).close()
    monkeypatch.setattr(os, "getuid", lambda: -1, raising=False)  # the mark is somebody else's now
    open_corpus(opened(prepared)).close()
    assert sum(hashed) == 2 * SIZE


def test_what_was_prepared_here_is_known(source: Path, hashed: list[int]) -> None:
    made = charkit.prepare(source, "prepared")
    open_corpus(opened(made.path)).close()
    assert hashed == []


def test_a_file_that_was_just_written_is_not_remembered(
    prepared: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charkit.text.verified, "TICK_NANOSECONDS", 10**18)
    for _ in range(2):
        open_corpus(opened(prepared)).close()
    assert sum(hashed) == 2 * SIZE


def test_a_name_that_is_cut_at_a_hyphen(tmp_path: Path) -> None:
    """Version 0.1 wrote such names with the hyphen at their end, and could not open them."""
    source = tmp_path / ("x" * 59 + "-the-book.txt")
    source.write_text(TEXT)
    path = charkit.prepare(source, "prepared").path
    assert train(path, max_steps=1).run.name == f"{'x' * 59}-1"
    manifest = json.loads((path / MANIFEST).read_text())
    assert manifest["name"] == "x" * 59
    for name, is_valid in (("x" * 59 + "-", True), ("x-", False), ("../x", False)):
        (path / MANIFEST).write_text(json.dumps({**manifest, "name": name}))
        if is_valid:
            train(path, max_steps=1)
        else:
            with pytest.raises(TextError, match="the name is not one that charkit would choose"):
                train(path, max_steps=1)


def test_what_a_recipe_reads_otherwise_is_refused(source: Path, prepared: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "keep.toml"
    recipe.write_text('name = "keep"\npurpose = "keeps line ends"\n[data]\nnewlines = "keep"\n')
    settings = {**SMALL, "recipe": recipe, "max_steps": 1, "threads": 1}
    with pytest.raises(
        ConfigurationError, match="with newlines 'lf', but the recipe has 'keep'; give `newlines='lf'`"
    ):
        charkit.train(prepared, **settings)
    charkit.train(prepared, newlines="lf", **settings)
    charkit.train(source, **settings)


def test_a_recipes_results_are_not_compared_with_those_of_another_reading(
    source: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "measured.toml"
    digest = hashlib.sha256(RAW).hexdigest()
    recipe.write_text(
        f"""
        name = "measured"
        purpose = "a test"
        [text]
        name = "a cat"
        sha256 = "{digest}"
        source = "the test"
        [model]
        lstm_size = 8
        [training]
        max_steps = 1
        [[results]]
        split = "validation"
        seeds = [0, 1, 2]
        losses = [3.0, 3.1, 3.2]
        seconds = 1
        machine = "none"
        charkit = "0.1.0"
        date = 2026-11-28
        """
    )
    kept = charkit.prepare(source, "kept", newlines="keep").path
    with pytest.raises(TextError, match="was prepared with newlines 'keep', but 'lf' is needed"):
        charkit.reproduce(recipe, kept)
    assert not Path("runs").exists()
