"""Names of other libraries' methods, and copies of a network."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.charrnn import CharRNN
from charkit.object_hints import WithHints
from charkit.training.result import TrainResult
from support import SMALL

INPUTS = np.zeros((2, 5), np.int32)


@pytest.fixture
def network() -> CharRNN:
    return CharRNN(4, batch_size=2, num_steps=5, lstm_size=3, dropout=0.5, seed=3)


@pytest.fixture
def result(text_file: Path) -> TrainResult:
    return charkit.train(text_file, max_steps=2, threads=1, **SMALL)


def test_names_of_other_libraries_lead_to_the_right_ones(network: CharRNN, result: TrainResult) -> None:
    run = result.load()
    for thing, name, advice in (
        (result, "sample", "result.load().sample(...)"),
        (result, "evaluate", "result.load().evaluate(...)"),
        (result, "val_loss", "validation_loss"),
        (run, "generate", "call sample(...)"),
        (run, "state_dict", "model.weights()"),
        (network, "fit", "train_step(inputs, targets)"),
        (network, "load_state_dict", "load_weights(...)"),
    ):
        with pytest.raises(AttributeError) as caught:
            getattr(thing, name)
        assert str(caught.value).startswith(f"{type(thing).__name__!r} object has no attribute {name!r}; ")
        assert advice in str(caught.value)
    with pytest.raises(AttributeError, match=r"^'CharRNN' object has no attribute 'banana'$"):
        network.banana  # type: ignore[attr-defined]  # noqa: B018 - the error is wanted


def test_hints_lead_to_what_there_is(network: CharRNN, result: TrainResult) -> None:
    for thing in (network, result, result.load()):
        for name in thing._HINTS:
            assert not hasattr(thing, name), (
                f"{type(thing).__name__}.{name} exists, so its hint is never shown"
            )


def test_a_copy_goes_on_by_itself(network: CharRNN) -> None:
    network.train_step(INPUTS, INPUTS)
    copied, again = copy.deepcopy(network), copy.copy(network)
    assert (copied.step, copied.backend) == (1, network.backend)
    before = network.weights()
    losses = [each.train_step(INPUTS, INPUTS).loss for each in (copied, copied)]
    for name, array in network.weights().items():
        np.testing.assert_array_equal(array, before[name])
    assert [network.train_step(INPUTS, INPUTS).loss for _ in range(2)] == losses
    assert [again.train_step(INPUTS, INPUTS).loss for _ in range(2)] == losses


def test_what_cannot_be_pickled_says_what_to_do(network: CharRNN, result: TrainResult) -> None:
    for thing, advice in ((network, "CharRNN.load(path)"), (result.load(), "charkit.load_run(path)")):
        with pytest.raises(
            TypeError, match=f"^a {type(thing).__name__} can't be pickled or copied; "
        ) as caught:
            pickle.dumps(thing)
        assert advice in str(caught.value)
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - its own


def test_an_error_within_a_property_is_not_hidden() -> None:
    class Thing(WithHints):
        @property
        def broken(self) -> int:
            return self.absent  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(AttributeError, match=r"^'Thing' object has no attribute 'absent'$"):
        _ = Thing().broken


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.sample(5), "`prime` must be the text to continue, as a str; given 5; use `length`"),
        (lambda run: run.evaluate(split="val"), r"unknown split 'val' \(did you mean 'validation'\?\)"),
        (lambda run: run.evaluate("test"), "there is no text at 'test'; for a split of the run's own text"),
        (charkit.load_run, "pass its path attribute, the run's directory"),
        (lambda _run: charkit.train("a", on_event=5), "`on_event` must be a function of one event; given 5"),
        (
            lambda _run: charkit.train("a", overwrite="no"),  # type: ignore[arg-type]
            "`overwrite` must be True or False; given 'no'",
        ),
        (
            lambda run: charkit.export(run.path, "a.py", overwrite="no"),  # type: ignore[arg-type]
            "`overwrite` must be True or False; given 'no'",
        ),
        (lambda _run: charkit.train(string=["a"]), r"given list; join texts first"),
        (lambda _run: charkit.train(string=b"a"), r"given bytes; decode bytes first"),
        (lambda run: run.model.train_step(INPUTS, INPUTS, lr=1), "did you mean 'learning_rate'"),
        (lambda run: run.model.train_step([[1]], [[1]]), r"given list; convert it with numpy\.asarray"),
        (lambda _run: charkit.compare(string="a"), "write the string to a file"),
        (lambda _run: charkit.train("*.txt"), "patterns are not expanded: training takes them as `glob`"),
    ],
)
def test_mistakes_are_answered(result: TrainResult, call: Any, message: str) -> None:
    with pytest.raises((charkit.CharkitError, TypeError), match=message):
        call(result.load())


def test_an_open_file_in_place_of_a_path(text_file: Path) -> None:
    with (
        text_file.open() as file,
        pytest.raises(charkit.ConfigurationError, match="given an open file; pass its path, or"),
    ):
        charkit.train(file)  # type: ignore[arg-type]
    with text_file.open() as file, pytest.raises(charkit.ConfigurationError, match="read the file first"):
        charkit.train(string=file)  # type: ignore[arg-type]


def test_the_training_text_is_recognized_when_it_is_scored(text_file: Path, result: TrainResult) -> None:
    run, notices = result.load(), []  # type: tuple[charkit.LoadedRun, list[str]]
    run.evaluate(text_file, on_notice=notices.append)
    assert notices == [
        "most of this text was trained on; `split='validation'` scores the part that was held out"
    ]
    run.evaluate(text_file, split="validation", on_notice=notices.append)
    run.evaluate(on_notice=notices.append)
    run.evaluate(string=text_file.read_text("utf-8")[:500], on_notice=notices.append)
    assert len(notices) == 1
