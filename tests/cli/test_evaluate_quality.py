"""``toolkit evaluate`` with baselines, dynamic evaluation, copied spans and the surprisal of each character."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import charkit
from cli_support import TINY, Toolkit
from support import SMALL_TEXT

FIGURES = ["loss", "bits_per_character", "bits_per_byte", "perplexity", "symbols", "streams"]
#: What was scored.
SUBJECT = ["run", "step", "text"]


def test_json_has_what_was_asked_for_and_the_whole_is_as_without(toolkit: Toolkit, run: Path) -> None:
    whole = toolkit.json("evaluate", run, "--threads", "1")
    assert list(whole) == [*FIGURES, *SUBJECT]
    answer = toolkit.json(
        *("evaluate", run, "--threads", "1", "--baselines", "--dynamic", "--copied"),
        *("--per-character", "s.csv"),
    )
    assert {name: answer.pop(name) for name in whole} == whole
    assert list(answer) == ["dynamic", "dynamic_settings", "baselines", "copied", "per_character"]
    assert list(answer["dynamic"]) == FIGURES
    loaded = charkit.load_run(run, threads=1)
    assert answer["dynamic"]["loss"] == loaded.evaluate_dynamically().loss
    assert answer["dynamic_settings"] == charkit.DynamicConfig().model_dump()
    assert answer["baselines"] == [
        {"name": each.name, "bits_per_character": each.bits_per_character} for each in loaded.baselines()
    ]
    assert [span["length"] for span in answer["copied"]["spans"]] == [20, 40, 80]
    assert (answer["copied"]["samples"], answer["copied"]["sample_length"]) == (20, 1000)
    assert answer["per_character"] == "s.csv"
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    size = len(SMALL_TEXT)
    start = size - 2 * round(size * 0.1)
    assert "".join(row["character"] for row in rows) == SMALL_TEXT[start : start + whole["symbols"]]


def test_the_model_stands_among_the_baselines_best_first(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("evaluate", run, "--baselines", "--dynamic").out
    answer = toolkit.json("evaluate", run, "--baselines", "--dynamic")
    bits = {each["name"]: each["bits_per_character"] for each in answer["baselines"]}
    best = min((name for name in bits if name.endswith("-gram")), key=lambda name: bits[name])
    bits |= {"this model": answer["bits_per_character"]}
    bits |= {"this model, dynamic": answer["dynamic"]["bits_per_character"]}
    rows = re.findall(r"^ (\S.*?) +(\d+\.\d{4})(?: +[-+][\d.]+%)?$", said.split("predictor")[1], re.M)
    assert [name.removesuffix(" (best n-gram)") for name, _ in rows] == sorted(
        bits, key=lambda name: bits[name]
    )
    assert [name for name, _ in rows if "best" in name] == [f"{best} (best n-gram)"]
    for name, shown in rows:
        assert shown == f"{bits[name.removesuffix(' (best n-gram)')]:.4f}"


def test_dynamic_figures_are_labelled(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("evaluate", run, "--dynamic", "--learning-rate", "0.002", "--segment-length", "10").out
    answer = toolkit.json("evaluate", run, "--dynamic", "--learning-rate", "0.002", "--segment-length", "10")
    assert re.search(r"figure +model +dynamic", said)
    assert re.search(rf"loss .* {answer['loss']:.4f} +{answer['dynamic']['loss']:.4f}", said)
    assert "dynamic: updates after every 10 symbols, learning rate 0.002, decay 0.002" in said
    assert answer["dynamic_settings"] == {"learning_rate": 0.002, "segment_length": 10, "decay": 0.002}
    assert "dynamic" not in toolkit.ok("evaluate", run).out


def test_copied_spans_say_what_was_drawn(toolkit: Toolkit, run: Path) -> None:
    options = ("--copied", "--samples", "3", "--sample-length", "60", "--temperature", "0.5", "--seed", "9")
    said = toolkit.ok("evaluate", run, *options).out
    answer = toolkit.json("evaluate", run, *options)["copied"]
    assert "sampled: 3 samples of 60 symbols, temperature 0.5, seed 9" in said
    for span in answer["spans"]:
        shares = rf"{span['sampled']:.2%} +{span['held_out']:.2%}"
        assert re.search(rf"in spans of {span['length']} symbols +{shares}", said)
    assert answer["spans"][0]["held_out"] > 0


def test_the_page_is_written_and_said(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("evaluate", run, "--per-character", "page.html").out
    assert "surprisal of each character: page.html" in said
    assert Path("page.html").read_text("utf-8").startswith("<!doctype html>")


def test_positions_that_do_not_count_skipped_symbols_are_told(toolkit: Toolkit, run: Path) -> None:
    Path("t.txt").write_text(f"{SMALL_TEXT[:5]}Ω{SMALL_TEXT[5:10]}", "utf-8")
    note = "note: the positions in 's.csv' don't count the skipped symbols"
    options = ("--text", "t.txt", "--unknown", "skip", "--per-character")
    assert note in toolkit.ok("evaluate", run, *options, "s.csv").err.splitlines()
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        assert [int(row["position"]) for row in csv.DictReader(file)] == list(range(1, 10))
    assert "positions" not in toolkit.ok("evaluate", run, *options, "s.html").err
    Path("t.txt").write_text(SMALL_TEXT[:10], "utf-8")
    assert "positions" not in toolkit.ok("evaluate", run, *options, "s.csv").err


def test_tables_fit_80_columns(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("evaluate", run, "--baselines", "--dynamic", "--copied", "--samples", "1").out
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--learning-rate", "0.1"), "--learning-rate requires --dynamic; give both"),
        (("--segment-length", "5", "--copied"), "--segment-length requires --dynamic; give both"),
        (("--samples", "5", "--dynamic"), "--samples requires --copied; give both"),
        (("--dynamic", "--learning-rate", "-1"), "--learning-rate must be above 0; given '-1'"),
        (("--dynamic", "--segment-length", "a"), "--segment-length must be an integer; given 'a'"),
        (("--copied", "--samples", "0"), "--samples must be at least 1; given '0'"),
        (
            ("--baselines", "--split", "train"),
            "--split train includes the training text, so it can't be used with --baselines; choose --split validation "
            "or --split test, or another text",
        ),
        (
            ("--copied", "--split", "all"),
            "--split all includes the training text, so it can't be used with --copied; choose --split validation or "
            "--split test, or another text",
        ),
        (
            ("--per-character", "out.txt"),
            "the surprisal of each character must be written to FILE.csv (a table) or FILE.html (a page); "
            "given 'out.txt'",
        ),
        (
            ("--per-character", "absent/out.csv"),
            "can't write 'absent/out.csv': directory 'absent' doesn't exist; create it first",
        ),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    toolkit: Toolkit, run: Path, options: tuple[str, ...], expected: str
) -> None:
    assert toolkit.error("evaluate", run, *options) == expected


def test_a_file_that_is_something_else_is_left_alone(toolkit: Toolkit, run: Path) -> None:
    Path("book.html").write_text("<h1>A book</h1>")
    message = toolkit.error("evaluate", run, "--per-character", "book.html")
    assert (
        message
        == "'book.html' already exists and was not written by charkit, so it is never overwritten; choose another file"
    )


def test_a_page_of_too_much_text_is_told_before_it_is_scored(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charkit.quality.surprisal_files.MOST_CHARACTERS", 100)
    message = toolkit.error("evaluate", run, "--per-character", "page.html")
    assert re.fullmatch(
        r"the text to score has \d+ characters, but a page shows at most 100; write a table to 'page.csv' instead, or "
        "score less text",
        message,
    )
    toolkit.ok("evaluate", run, "--per-character", "page.csv")


def test_the_training_text_must_be_there(toolkit: Toolkit) -> None:
    text, other = Path("t.txt"), Path("other.txt")
    text.write_text(SMALL_TEXT)
    other.write_text(SMALL_TEXT[:200])
    toolkit.ok("train", text, *TINY, "--max-steps", "3", "--run", "r")
    text.write_text(SMALL_TEXT.replace("cat", "dog"))
    message = toolkit.error("evaluate", "r", "--text", other, "--baselines")
    assert message.startswith("the text of 'r' has changed since the run was trained (it contains symbols ")
    assert message.endswith("; --baselines needs the text that the run was trained on")
    text.unlink()
    message = toolkit.error("evaluate", "r", "--text", other, "--copied")
    assert message.startswith(
        "--copied needs the text that the run was trained on, which can't be read: there is no text at"
    )
