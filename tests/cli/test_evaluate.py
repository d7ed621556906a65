"""``toolkit evaluate``."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.errors import ConfigurationError, NotFiniteError, RunError
from charkit.loaded_run import LoadedRun
from charkit.run_scoring import RunScoring
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
    assert toolkit.error("evaluate", "r", "--text", text_file, "--split", "validation") == (
        "the validation split of the text is empty with the run's validation share; leave --split out to score all of "
        "the text"
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


def test_a_limit_beyond_the_text_is_not_claimed_to_be_scored(toolkit: Toolkit, run: Path) -> None:
    size = round(len(SMALL_TEXT) * 0.1)
    for limit, heading in (
        (size, f"on the first {size:,} symbols of the test split"),
        (size + 1, "on the test"),
    ):
        said = toolkit.ok("evaluate", run, "--split", "test", "--limit", str(limit)).out
        assert f"(step 30), {heading}" in said


def test_a_limit_below_one_is_refused(toolkit: Toolkit, run: Path) -> None:
    assert "--limit" in toolkit.error("evaluate", run, "--limit", "0")
    with pytest.raises(charkit.ConfigurationError, match="`limit` must be at least 1; given 0"):
        charkit.load_run(run).evaluate(limit=0)


@pytest.fixture
def imported(toolkit: Toolkit, run: Path) -> Path:
    """The trained run, exported and imported, so without its text and the optimizer's moments."""
    toolkit.ok("export", run, "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "imported")
    return Path("imported")


@pytest.mark.parametrize("name", ["s.csv", "s.html"])
def test_what_can_not_be_scored_dynamically_leaves_no_file(
    toolkit: Toolkit, imported: Path, text_file: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("evaluate", "surprisal", "baselines", "copied"):
        monkeypatch.delattr(RunScoring, method)  # refused before anything is scored
    options = ("--text", text_file, "--dynamic", "--per-character", name)
    message = toolkit.error("evaluate", imported, *options)
    assert message.startswith("'imported' was never trained by charkit, so it lacks Adam's second moments")
    assert not Path(name).exists()


@pytest.mark.parametrize("error", [RunError, NotFiniteError])
def test_an_error_of_dynamic_evaluation_leaves_an_earlier_file_as_it_was(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    toolkit.ok("evaluate", run, "--limit", "20", "--per-character", "s.csv")
    before = Path("s.csv").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise error("it diverged")

    monkeypatch.setattr(LoadedRun, "evaluate_dynamically", fail)
    assert toolkit.error("evaluate", run, "--dynamic", "--per-character", "s.csv") == "it diverged"
    assert Path("s.csv").read_bytes() == before


def test_too_much_text_for_a_page_is_refused_before_anything_is_scored(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charkit.quality.surprisal_files.MOST_CHARACTERS", 100)
    for method in ("evaluate", "surprisal", "evaluate_dynamically", "baselines", "copied"):
        monkeypatch.delattr(RunScoring, method)
    options = ("--baselines", "--dynamic", "--per-character", "page.html")
    assert "but a page shows at most 100; " in toolkit.error("evaluate", run, *options)
    assert not Path("page.html").exists()


def test_what_is_no_path_to_write_surprisal_to(run: Path) -> None:
    loaded = charkit.load_run(run, threads=1)
    with pytest.raises(ConfigurationError) as caught:
        loaded.surprisal(write_to=5)  # type: ignore[arg-type]
    assert str(caught.value) == "the file for the surprisal of each character must be a path; given 5"
