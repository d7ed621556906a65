"""The quality measures of a loaded run, from Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import charkit
from charkit.errors import ConfigurationError, RunError
from charkit.quality.copied import copied_shares
from charkit.quality.ngrams import ngram_nats
from support import SMALL, SMALL_TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and a run that was trained on it; not to be changed."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "small.txt").write_text(SMALL_TEXT, "utf-8")
    charkit.train(
        folder / "small.txt", run=folder / "run", max_steps=60, learning_rate=0.01, threads=1, **SMALL
    )
    return folder


@pytest.fixture
def run(folder: Path) -> charkit.LoadedRun:
    return charkit.load_run(folder / "run", threads=1)


def splits() -> tuple[int, int, int]:
    """The ends of the training, validation and test splits."""
    held_out = round(len(SMALL_TEXT) * 0.1)
    return len(SMALL_TEXT) - 2 * held_out, len(SMALL_TEXT) - held_out, len(SMALL_TEXT)


def test_baselines_see_what_the_model_saw(run: charkit.LoadedRun) -> None:
    symbols, _ = run.vocabulary.encode(SMALL_TEXT)
    train, validation, test = splits()
    for split, (start, stop) in {"validation": (train, validation), "test": (validation, test)}.items():
        found = {each.name: each.bits_per_character for each in run.baselines(split=split)}  # type: ignore[arg-type]
        expected = ngram_nats(symbols[:train], symbols, start, stop, run.vocabulary.size)
        names = [f"{order}-gram" for order in range(1, 9)]
        np.testing.assert_allclose([found[name] for name in names], expected / np.log(2) / (stop - start))
        assert {"zlib", "bzip2", "lzma"} <= found.keys()
    assert run.baselines() == run.baselines(split="validation")


def test_baselines_of_another_text_learn_from_the_training_text(run: charkit.LoadedRun) -> None:
    symbols, _ = run.vocabulary.encode(SMALL_TEXT[:500])
    train, _, _ = splits()
    whole, _ = run.vocabulary.encode(SMALL_TEXT)
    found = {each.name: each.bits_per_character for each in run.baselines(string=SMALL_TEXT[:500])}
    expected = ngram_nats(whole[:train], symbols, 1, 500, run.vocabulary.size)[2] / np.log(2) / 499
    assert found["3-gram"] == pytest.approx(expected)


def test_the_run_is_unchanged_by_dynamic_evaluation(run: charkit.LoadedRun, folder: Path) -> None:
    before, files = run.evaluate(), {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = run.evaluate_dynamically()
    assert found.symbols == before.symbols
    assert found.streams == 1
    assert found.loss != before.loss
    assert run.evaluate() == before
    assert run.evaluate_dynamically() == found
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    assert "dynamic evaluation" in found._repr_html_()
    assert "dynamic" not in before._repr_html_()


def test_dynamic_evaluation_takes_its_settings(run: charkit.LoadedRun) -> None:
    usual = run.evaluate_dynamically(split="test")
    assert usual == run.evaluate_dynamically(split="test", **charkit.DynamicConfig().model_dump())
    for change in ({"learning_rate": 0.002}, {"segment_length": 7}, {"decay": 0.9}):
        changed = run.evaluate_dynamically(split="test", **change)
        assert changed.loss != usual.loss
        assert changed.config.model_dump().items() >= change.items()
    with pytest.raises(ConfigurationError, match="segment_length must be at least 1; given 0"):
        run.evaluate_dynamically(segment_length=0)


def test_a_run_without_moments_can_not_be_followed(run: charkit.LoadedRun) -> None:
    imported = replace(run, _gradient_scale=None)
    with pytest.raises(RunError, match=r"was never trained by charkit, .*; train a new run from its weights"):
        imported.evaluate_dynamically()
    assert imported.evaluate() == run.evaluate()


def test_surprisal_has_the_figures_of_evaluate(run: charkit.LoadedRun) -> None:
    train, validation, _ = splits()
    found = run.surprisal(write_to="s.csv")
    assert found.evaluation == run.evaluate()
    assert "".join(found.characters) == SMALL_TEXT[train:validation]
    assert found.positions.tolist() == list(range(train, validation))
    assert Path("s.csv").read_text("utf-8").count("\n") == len(found.characters) + 1 + found.characters.count(
        "\n"
    )


def test_copied_shares_are_those_of_the_drawn_text(run: charkit.LoadedRun) -> None:
    train, validation, _ = splits()
    found = run.copied(samples=3, sample_length=50, temperature=0.5, seed=4)
    symbols, _ = run.vocabulary.encode(SMALL_TEXT)
    drawn = [
        run.vocabulary.encode(text)[0] for text in run.sample(length=50, count=3, temperature=0.5, seed=4)
    ]
    pieces = [symbols[at : min(at + 50, validation)] for at in range(train, validation, 50)]
    sampled, held_out = copied_shares(symbols[:train], [drawn, pieces], run.vocabulary.size)
    assert [(span.sampled, span.held_out) for span in found.spans] == list(
        zip(sampled, held_out, strict=True)
    )
    assert [span.length for span in found.spans] == [20, 40, 80]
    assert held_out[0] > held_out[1]  # the text repeats its phrases
    assert (found.samples, found.sample_length, found.temperature, found.seed) == (3, 50, 0.5, 4)
    assert "held-out" in found._repr_html_()


def test_a_text_that_a_model_copied_is_found(run: charkit.LoadedRun) -> None:
    train, _, _ = splits()
    held_out = [
        span.held_out for span in run.copied(string=SMALL_TEXT[:train], samples=1, sample_length=100).spans
    ]
    assert held_out[:2] == [1.0, 1.0]
    assert held_out[2] > 0.95  # the last piece may be shorter than a span


def test_training_text_is_not_held_out(run: charkit.LoadedRun) -> None:
    for split in ("train", "all"):
        for method in (run.baselines, run.copied):
            with pytest.raises(ConfigurationError, match=r"choose `split='validation'` or `split='test'`"):
                method(split=split)


def test_a_training_text_that_is_gone_or_changed_is_told(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(SMALL_TEXT, "utf-8")
    charkit.train(text, run="r", max_steps=2, threads=1, **SMALL)
    run = charkit.load_run("r", threads=1)
    text.write_text(SMALL_TEXT.replace("cat", "dog"), "utf-8")
    with pytest.raises(RunError, match=r"has changed since .*; `baselines` needs the text that the run was"):
        run.baselines(string=SMALL_TEXT[:100])
    text.unlink()
    with pytest.raises(
        RunError, match=r"`copied` needs the text that .*, which can't be read: there is no text at"
    ):
        run.copied(string=SMALL_TEXT[:100])
    run.evaluate_dynamically(string=SMALL_TEXT[:100])  # needs none
