"""``toolkit evaluate``."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from cli_support import TINY, Toolkit, lines_of
from support import SMALL_TEXT


@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
def test_each_split_is_scored(toolkit: Toolkit, run: Path, split: str) -> None:
    answer = toolkit.json("evaluate", run, "--split", split)
    size = len(SMALL_TEXT)
    share = {"train": size - 2 * round(size * 0.1) - 1, "all": size - 1}.get(split, round(size * 0.1))
    assert answer["symbols"] == share
    said = toolkit.ok("evaluate", run, "--split", split).out
    assert f"{run}, best checkpoint (step 30), on the {split} split of small.txt\n" in said
    assert f"{answer['loss']:.4f}" in said
    assert f"{answer['symbols']:,}" in said


def test_it_is_the_function_that_validation_uses(toolkit: Toolkit, run: Path) -> None:
    measured = lines_of(run / "metrics.jsonl")[-1]["validation_loss"]
    assert toolkit.json("evaluate", run)["loss"] == pytest.approx(measured, rel=1e-6)


def test_python_says_the_same(toolkit: Toolkit, run: Path) -> None:
    answer = toolkit.json("evaluate", run, "--split", "test", "--threads", "1")
    assert charkit.load_run(run, threads=1).evaluate(split="test").loss == answer["loss"]


def test_another_text(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    whole = toolkit.json("evaluate", run, "--split", "all")
    assert toolkit.json("evaluate", run, "--text", text_file) == whole | {"text": [str(text_file)]}
    Path("books").mkdir()
    Path("books/a.txt").write_text(SMALL_TEXT[:2000])
    Path("books/b.txt").write_text(SMALL_TEXT[2000:])
    assert toolkit.json("evaluate", run, "--text", "books") == whole | {"text": ["books"]}
    both = ["books/b.txt", "books/a.txt"]
    assert toolkit.json("evaluate", run, "--text", both[0], "--text", both[1]) == whole | {"text": both}
    assert "on books" in toolkit.ok("evaluate", run, "--text", "books").out


def test_unknown_symbols_are_skipped_when_asked(toolkit: Toolkit, run: Path) -> None:
    Path("t.txt").write_text(SMALL_TEXT.replace(" ", " Ω"))
    known = toolkit.json("evaluate", run, "--split", "all")
    assert toolkit.json("evaluate", run, "--text", "t.txt", "--unknown", "skip") == known | {
        "text": ["t.txt"]
    }
    said = toolkit.ok("evaluate", run, "--text", "t.txt", "--unknown", "skip").err
    assert "note: skipped symbols that the vocabulary lacks: " in said


def test_an_empty_split_is_told(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2", "--validation-share", "0", "--run", "r")
    assert toolkit.error("evaluate", "r").startswith(
        "the validation split of the run is empty; score another split: "
    )
    toolkit.json("evaluate", "r", "--split", "train")


def test_float64_engine(toolkit: Toolkit, run: Path) -> None:
    single = toolkit.json("evaluate", run)["loss"]
    double = toolkit.json("evaluate", run, "--precision", "float64")["loss"]
    assert double != single
    assert double == pytest.approx(single, abs=1e-5)


def test_the_text_that_is_evaluated_is_named(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    assert (
        f"{run}, best checkpoint (step 30), on {text_file}\n"
        in toolkit.ok("evaluate", run, "--text", text_file).out
    )
    answer = toolkit.json("evaluate", run)
    assert (answer["run"], answer["step"], answer["text"]) == (str(run), 30, ["small.txt"])


def test_a_run_of_the_built_in_text_says_so_without_a_notice(toolkit: Toolkit) -> None:
    toolkit.ok("train", *TINY, "--max-steps", "1", "--validation-share", "0.001", "--test-share", "0.001")
    outcome = toolkit.ok("evaluate")
    assert "(step 1), on the validation split of Python's language reference\n" in outcome.out
    assert "no text given" not in outcome.err


def test_a_run_of_a_string_names_its_stored_text(toolkit: Toolkit, text_file: Path) -> None:
    charkit.train(string=text_file.read_text("utf-8"), run="r", recipe="classic", max_steps=1, threads=1)
    assert "on the validation split of the text stored in the run\n" in toolkit.ok("evaluate", "r").out


def test_a_limit_scores_the_beginning_of_the_split(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    text = text_file.read_text("utf-8")
    limited = toolkit.json("evaluate", run, "--text", text_file, "--limit", "50")
    assert limited["symbols"] == 50
    assert charkit.load_run(run).evaluate(string=text[:51]).loss == pytest.approx(limited["loss"], abs=1e-6)
    whole = toolkit.json("evaluate", run, "--text", text_file)
    assert toolkit.json("evaluate", run, "--text", text_file, "--limit", "999999999") == whole
    said = toolkit.ok("evaluate", run, "--split", "train", "--limit", "50").out
    assert "on the first 50 symbols of the train split of small.txt\n" in said


def test_a_limit_below_one_is_refused(toolkit: Toolkit, run: Path) -> None:
    assert "--limit" in toolkit.error("evaluate", run, "--limit", "0")
    with pytest.raises(charkit.ConfigurationError, match="`limit` must be at least 1; given 0"):
        charkit.load_run(run).evaluate(limit=0)
