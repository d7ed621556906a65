"""The Python interface, as a notebook uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit
from charkit.errors import ConfigurationError, RunError, TextError, UnknownSymbolsError
from charkit.training.result import TrainResult
from support import SMALL, SMALL_TEXT


@pytest.fixture
def trained(text_file: Path) -> TrainResult:
    return charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL)


def test_names_load_when_they_are_used() -> None:
    assert set(charkit.__all__) <= set(dir(charkit))
    assert charkit.CharRNN.__module__ == "charkit.charrnn"
    assert charkit.__version__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        charkit.nonsense  # noqa: B018


def test_evaluate_is_the_function_that_validation_is(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run, checkpoint="latest")
    assert run.step == 12
    assert run.evaluate().loss == trained.validation_loss
    best = charkit.load_run(trained.run)
    assert best.evaluate().loss == trained.best_validation_loss


def test_evaluate_takes_a_split_a_text_or_a_string(trained: TrainResult, text_file: Path) -> None:
    run = charkit.load_run(trained.run)
    whole = run.evaluate(split="all")
    assert whole.symbols == len(SMALL_TEXT) - 1
    assert run.evaluate(text_file).loss == whole.loss == run.evaluate(string=SMALL_TEXT).loss
    assert run.evaluate([text_file, text_file]).symbols == whole.symbols
    with pytest.raises(UnknownSymbolsError, match="'Ω'"):
        run.evaluate(string="grey Ω cat")
    assert run.evaluate(string="grey Ω cat", unknown="skip").symbols == 8
    with pytest.raises(ConfigurationError, match="give one of them"):
        run.evaluate(text_file, string="cat")


def test_an_empty_split_is_told(text_file: Path) -> None:
    result = charkit.train(text_file, max_steps=2, threads=1, **{**SMALL, "validation_share": 0.0})
    assert result.validation_loss is None
    with pytest.raises(
        TextError, match="validation split of the run is empty; score another: `split='train'`"
    ):
        charkit.load_run(result.run).evaluate()


def test_a_changed_text_is_not_scored_by_its_splits(trained: TrainResult, text_file: Path) -> None:
    text_file.write_text(SMALL_TEXT[:-10], "utf-8")
    with pytest.raises(RunError, match="has changed since"):
        charkit.load_run(trained.run).evaluate()


def test_sample_and_stream_give_the_same_text(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run)
    texts = run.sample("The ", length=20, seed=4, count=2)
    assert [len(text) for text in texts] == [24, 24]
    assert all(text.startswith("The ") for text in texts)
    streamed = ["The ", "The "]
    for stream, text in run.stream("The ", length=20, seed=4, count=2):
        streamed[stream] += text
    assert streamed == texts


def test_a_seed_that_nobody_gave_is_told(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run)
    plan = run.sampling(length=30)
    assert plan.config.seed is not None
    assert plan.texts() == run.sample(length=30, seed=plan.config.seed)


def test_a_prime_with_unknown_characters(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run)
    with pytest.raises(UnknownSymbolsError, match="'Ω'"):
        run.sample("ΩThe", length=3)
    plan = run.sampling(prime="ΩThe", length=3, unknown="skip")
    assert plan.prime == "The"
    assert plan.notices == ("symbols of the prime text skipped, which the model never saw: 1",)


def test_line_ends_of_a_prime_become_what_the_run_has(trained: TrainResult) -> None:
    assert charkit.load_run(trained.run).sampling(prime="a\r\nb\rc").prime == "a\nb\nc"


def test_wrong_choices_are_told(trained: TrainResult) -> None:
    with pytest.raises(ConfigurationError, match="unknown checkpoint 'bets'"):
        charkit.load_run(trained.run, checkpoint="bets")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="unknown precision 'float23'"):
        charkit.load_run(trained.run, precision="float23")  # type: ignore[arg-type]
    run = charkit.load_run(trained.run)
    with pytest.raises(ConfigurationError, match="no split 'training'"):
        run.evaluate(split="training")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="temperature"):
        run.sample(temperature=-1)


def test_a_run_computes_in_the_precision_asked_for(trained: TrainResult) -> None:
    single, double = charkit.load_run(trained.run), charkit.load_run(trained.run, precision="float64")
    assert double.evaluate().loss == pytest.approx(single.evaluate().loss, abs=1e-5)
    assert double.model.weights()["output.bias"].dtype == "float64"


def test_a_byte_run_from_end_to_end(text_file: Path) -> None:
    result = charkit.train(text_file, vocabulary="byte", max_steps=4, threads=1, **SMALL)
    run = charkit.load_run(result.run)
    found = run.evaluate()
    assert found.bits_per_character > found.bits_per_byte
    assert run.sample("€ ", length=50, seed=1)[0].startswith("€ ")
