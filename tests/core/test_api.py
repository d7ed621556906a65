"""The Python interface, as a notebook uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

import charkit
from charkit.errors import (
    ConfigurationError,
    RunError,
    TextError,
    UnknownSymbolsError,
)
from charkit.training.result import TrainResult
from support import SMALL, SMALL_TEXT


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
    with pytest.raises(ConfigurationError, match="give only one of them"):
        run.evaluate(text_file, string="cat")


def test_an_empty_split_is_told(text_file: Path) -> None:
    result = charkit.train(text_file, max_steps=2, threads=1, **{**SMALL, "validation_share": 0.0})
    assert result.validation_loss is None
    with pytest.raises(
        TextError, match="validation split of the run is empty; score another split: `split='test'`"
    ):
        charkit.load_run(result.run).evaluate()
    all_trained = charkit.train(
        text_file, max_steps=2, threads=1, **{**SMALL, "validation_share": 0.0, "test_share": 0.0}
    )
    with pytest.raises(TextError, match=r"the test split of the run is empty; .*`split='train'`"):
        charkit.load_run(all_trained.run).evaluate(split="test")
    untested = charkit.train(text_file, max_steps=2, threads=1, **{**SMALL, "test_share": 0.0})
    with pytest.raises(TextError, match=r"the test split of the run is empty; .*`split='validation'`"):
        charkit.load_run(untested.run).evaluate(split="test")


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
    assert {run: plan}[run] == plan
    assert plan.config.seed is not None
    assert plan.texts() == run.sample(length=30, seed=plan.config.seed)


def test_a_prime_with_unknown_characters(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run)
    with pytest.raises(UnknownSymbolsError, match="'Ω'"):
        run.sample("ΩThe", length=3)
    plan = run.sampling(prime="ΩThe", length=3, unknown="skip")
    assert plan.prime == "The"
    assert plan.notices == ("skipped symbols of the prime text that the model has never seen: 1",)


def test_line_ends_of_a_prime_become_what_the_run_has(trained: TrainResult) -> None:
    assert charkit.load_run(trained.run).sampling(prime="a\r\nb\rc").prime == "a\nb\nc"


def test_wrong_choices_are_told(trained: TrainResult) -> None:
    with pytest.raises(ConfigurationError, match="unknown checkpoint 'bets'"):
        charkit.load_run(trained.run, checkpoint="bets")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="unknown precision 'float23'"):
        charkit.load_run(trained.run, precision="float23")  # type: ignore[arg-type]
    run = charkit.load_run(trained.run)
    with pytest.raises(ConfigurationError, match="unknown split 'training'"):
        run.evaluate(split="training")  # type: ignore[arg-type]
    for split in ("", ["test"]):
        for score in (run.evaluate, run.baselines, run.copied):
            with pytest.raises(ConfigurationError, match="unknown split "):
                score(split=split)
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


# ---- training on a string ------------------------------------------------------------------------------------


def test_a_string_trains_as_a_file_of_it_does_and_the_run_keeps_it(text_file: Path) -> None:
    of_file = charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL)
    of_string = charkit.train(string=SMALL_TEXT, max_steps=12, eval_every=4, threads=1, **SMALL)
    assert of_string.run == Path("runs/text-1")
    assert of_string.validation_loss == of_file.validation_loss
    assert (of_string.run / "text.txt").read_text("utf-8") == SMALL_TEXT
    saved = json.loads((of_string.run / "config.json").read_text("utf-8"))
    assert saved["config"]["data"]["text"] == ["text.txt"]
    assert saved["text_sha256"] == json.loads((of_file.run / "config.json").read_text("utf-8"))["text_sha256"]
    assert of_string.load().evaluate(split="test") == of_file.load().evaluate(split="test")


def test_bytes_are_no_string_and_no_path(trained: TrainResult) -> None:
    run = trained.load()
    for given, kind, advice in ((b"abc", "bytes", "decode bytes"), (["a"], "list", "join texts")):
        expected = f"`string` must be the text as a str; given {kind}; {advice} first, as in "
        for call in (
            charkit.train,
            run.evaluate,
            run.surprisal,
            run.evaluate_dynamically,
            run.baselines,
            run.copied,
        ):
            with pytest.raises(ConfigurationError, match=expected):
                call(string=given)  # type: ignore[arg-type]
    for path in (b"abc", [b"abc"], 7):
        for call in (charkit.train, run.evaluate):
            with pytest.raises(
                ConfigurationError,
                match=r"`text` must be one or more paths; given .*; use `string` for the text",
            ):
                call(path)  # type: ignore[arg-type]


def test_a_run_of_a_string_is_resumed_and_evaluated_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = charkit.train(string=SMALL_TEXT, run="made/r", max_steps=6, eval_every=6, threads=1, **SMALL)
    unbroken = charkit.train(string=SMALL_TEXT, run="whole", max_steps=12, eval_every=6, threads=1, **SMALL)
    loss = charkit.load_run("made/r").evaluate(split="all").loss
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = first.run.rename(elsewhere / "moved")
    monkeypatch.chdir(elsewhere)
    assert charkit.load_run("moved").evaluate(split="all").loss == loss
    second = charkit.train(resume="moved", max_steps=12, threads=1)
    assert second.loss == unbroken.loss
    (moved / "text.txt").write_text(SMALL_TEXT + "x", "utf-8")
    with pytest.raises(RunError, match="symbols that are not in the run's vocabulary"):
        charkit.train(resume="moved", max_steps=13)
    with pytest.raises(RunError, match="has changed"):
        charkit.load_run("moved").evaluate()


def test_a_run_of_a_string_is_replaced_with_its_text(text_file: Path) -> None:
    charkit.train(string=SMALL_TEXT, run="r", max_steps=2, threads=1, **SMALL)
    charkit.train(string=SMALL_TEXT * 2, run="r", overwrite=True, max_steps=2, threads=1, **SMALL)
    assert Path("r/text.txt").read_text("utf-8") == SMALL_TEXT * 2
    for text in ("r/text.txt", "r"):
        with pytest.raises(RunError, match="is in 'r', which would be replaced"):
            charkit.train(text, run="r", overwrite=True, max_steps=2, threads=1, **SMALL)
    charkit.train(text_file, run="r", overwrite=True, max_steps=2, threads=1, **SMALL)
    assert not Path("r/text.txt").exists()


def test_a_string_can_extend_the_vocabulary_of_another_run(trained: TrainResult) -> None:
    text = SMALL_TEXT + "ΩΩ"
    with pytest.raises(UnknownSymbolsError, match="extend_vocabulary=True"):
        charkit.train(string=text, init_from=trained.run, max_steps=2, threads=1)
    result = charkit.train(
        string=text, init_from=trained.run, extend_vocabulary=True, max_steps=2, batch_size=4, num_steps=8
    )
    assert "Ω" in result.load().vocabulary.symbols


@pytest.mark.parametrize("line_ends", ["keep", "lf"])
def test_line_ends_of_a_string_are_kept_in_the_run(line_ends: Literal["keep", "lf"]) -> None:
    text = SMALL_TEXT.replace("\n", "\r\n")
    result = charkit.train(string=text, newlines=line_ends, max_steps=2, threads=1, **SMALL)
    assert (result.run / "text.txt").read_bytes() == text.encode()
    assert ("\r" in result.load().vocabulary.symbols) is (line_ends == "keep")
    assert charkit.train(resume=result.run, max_steps=3, threads=1).step == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"text": "a.txt"}, "`string` is the text itself, and `text` is for files"),
        ({"encoding": "cp1252"}, "`string` is the text itself, and `encoding` is for files"),
        ({"settings": {"data": {"glob": "*"}}}, "`string` is the text itself, and `glob` is for files"),
        ({"resume": "runs/x"}, "leave `string` out"),
    ],
)
def test_what_does_not_go_with_a_string(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        charkit.train(string=SMALL_TEXT, **options)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("", "empty"), ("aaaa", "one distinct symbol"), ("a\0b", "binary")]
)
def test_a_string_that_is_no_text(text: str, expected: str) -> None:
    with pytest.raises(TextError, match=expected):
        charkit.train(string=text)
    assert not Path("runs").exists()


# ---- how things look -----------------------------------------------------------------------------------------


def test_a_loaded_run_shows_what_it_is(trained: TrainResult) -> None:
    run = charkit.load_run(trained.run, checkpoint="latest")
    symbols = run.vocabulary.size
    assert (
        repr(run) == f"<LoadedRun '{trained.run}' at step 12: 2 x 8, {symbols} symbols, on numpy in float32>"
    )
    assert run.path == trained.run
    assert run.config.model.lstm_size == 8
    table = run._repr_html_()
    assert table.startswith("<table>")
    for shown in (str(trained.run), "<td", ">2 x 8<", f">{symbols} symbols<", ">numpy in float32<", ">12<"):
        assert shown in table


def test_an_evaluation_is_a_table_in_a_notebook(trained: TrainResult) -> None:
    found = charkit.load_run(trained.run).evaluate()
    table = found._repr_html_()
    assert table.startswith("<table>")
    for shown in (f"{found.loss:.4f}", f"{found.bits_per_character:.4f}", f"{found.symbols:,}"):
        assert shown in table


def test_settings_that_are_none_are_not_set(text_file: Path) -> None:
    result = charkit.train(text_file, max_steps=2, threads=1, patience=None, lstm_size=8, batch_size=4)
    assert charkit.train(resume=result.run, max_steps=3, lstm_size=None, seed=None, threads=1).step == 3
    lifted = {"training": {"max_steps": None, "epochs": 1}}
    assert charkit.train(resume=result.run, settings=lifted, threads=1).stopped_because == "epochs"


def test_an_unknown_keyword_is_refused_as_python_does(text_file: Path) -> None:
    with pytest.raises(TypeError, match="lstm_sise"):
        charkit.train(text_file, lstm_sise=3)  # type: ignore[call-arg]
