"""The closed schema of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import pytest

from charkit.config import DataConfig, OptimizerConfig, TrainingConfig, build, check_choice
from charkit.durations import duration_seconds
from charkit.errors import ConfigurationError
from charkit.recipe import read_recipe
from charkit.settings import merge, parse_assignment, parse_toml, read_toml, resolve, settings_from_keywords


def test_defaults_are_those_of_the_classic_charrnn() -> None:
    config = resolve({}, vocabulary_size=84)
    assert (config.data.batch_size, config.data.num_steps) == (64, 50)
    assert (config.model.lstm_size, config.model.num_layers, config.model.dropout) == (128, 2, 0.0)
    assert (config.optimizer.learning_rate, config.optimizer.grad_clip) == (0.001, 5.0)
    assert config.training.epochs == 20
    assert config.model.vocabulary_size == 84


def test_a_configuration_is_frozen() -> None:
    config = resolve({}, vocabulary_size=2)
    with pytest.raises(ValueError, match="frozen"):
        config.model.lstm_size = 3  # type: ignore[misc]


def test_integers_of_numpy_are_integers_and_an_empty_pattern_is_one_problem() -> None:
    config = build(TrainingConfig, {"save_every": np.int64(5), "max_steps": np.int32(7)})
    assert (config.save_every, config.max_steps) == ("5", 7)
    with pytest.raises(ConfigurationError, match=r"^glob must not be empty; given ''$"):
        build(DataConfig, {"glob": ""})


def test_later_layers_win_key_by_key() -> None:
    merged = merge(
        {"model": {"lstm_size": 1, "num_layers": 3}}, {"model": {"lstm_size": 2}}, {"training": {"epochs": 5}}
    )
    assert merged == {"model": {"lstm_size": 2, "num_layers": 3}, "training": {"epochs": 5}}


def test_toml_is_read_by_section(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[model]\nlstm_size = 32\n[training]\nsave_every = 100\n")
    config = resolve(read_toml(path), vocabulary_size=9)
    assert config.model.lstm_size == 32
    assert config.training.save_every == "100"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[model]\nlstm_sise = 3\n", "did you mean 'lstm_size'"),
        ("[modle]\nlstm_size = 3\n", "did you mean 'model'"),
        ("lstm_size = 3\n", "outside any section"),
        ("[model\n", "is not valid TOML"),
        ("[model]\nvocabulary_size = 3\n", "comes from the text"),
    ],
)
def test_a_wrong_toml_file_is_told_in_one_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)


def test_a_missing_toml_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the configuration file .* doesn't exist"):
        read_toml(tmp_path / "absent.toml")


def test_a_directory_is_not_a_toml_file(tmp_path: Path) -> None:
    expected = f"the configuration file {str(tmp_path)!r} is not a regular file; give the path of a TOML file"
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        read_toml(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("read", [read_toml, read_recipe])
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(
        ConfigurationError, match=r"pipe.toml' is not a regular file; give the path of a TOML file$"
    ):
        read(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("model.lstm_size=256", {"model": {"lstm_size": 256}}),
        ("optimizer.learning_rate = 2e-3", {"optimizer": {"learning_rate": 0.002}}),
        ("training.schedule=cosine", {"training": {"schedule": "cosine"}}),
        ("training.save_every='5m'", {"training": {"save_every": "5m"}}),
        ("data.encoding=a=b", {"data": {"encoding": "a=b"}}),
    ],
)
def test_an_assignment_is_toml_or_a_plain_word(assignment: str, expected: object) -> None:
    assert parse_assignment(assignment) == expected


def test_what_is_wrong_with_a_whole_section_has_no_empty_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^`shards` must be a power of two"):
        build(DataConfig, {"shards": 3})
    with pytest.raises(ConfigurationError, match=r"^`epochs` and `max_steps` are both unset"):
        build(TrainingConfig, {"epochs": None})
    with pytest.raises(ConfigurationError, match=r"^`shards` must be a power of two"):
        resolve({"data": {"shards": 3}}, vocabulary_size=2)
    path = tmp_path / "b.toml"
    path.write_text('name = "b"\npurpose = "to test"\n[training]\nseed = 1\n')
    expected = f"{str(path)!r}: training.seed is chosen for each run; leave it out"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(expected)}$"):
        read_recipe(path)


@pytest.mark.parametrize("assignment", ["lstm_size=3", "model.lstm_size", "model", "=3", "model.lstm_sise=3"])
def test_an_assignment_that_is_none_is_told(assignment: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not of the form section\.key=value|unknown key"):
        parse_assignment(assignment)


@pytest.mark.parametrize(
    ("section", "key", "value", "allowed"),
    [
        ("model", "lstm_size", 0, "at least 1"),
        ("model", "dropout", 1.0, "below 1"),
        ("optimizer", "learning_rate", 0, "above 0"),
        ("optimizer", "beta1", -0.1, "at least 0"),
        ("optimizer", "grad_clip", "nan", "finite"),
        ("data", "vocabulary", "word", "'char' or 'byte'"),
        ("data", "batch_size", "many", "integer"),
        ("training", "time_limit", "5", "90s, 10m or 2h"),
        ("training", "save_every", "soon", "500, or a duration"),
        ("training", "save_every", "0", "at least 1"),
        ("training", "precision", "float16", "'float32', 'float64' or 'bfloat16'"),
        ("training", "seed", -1, "at least 0"),
    ],
)
def test_a_value_out_of_range_says_what_is_allowed(
    section: str, key: str, value: object, allowed: str
) -> None:
    with pytest.raises(ConfigurationError, match=allowed) as caught:
        resolve({section: {key: value}}, vocabulary_size=9)
    assert f"{section}.{key}" in str(caught.value)
    assert repr(value) in str(caught.value)


def test_splits_must_leave_something_to_train_on() -> None:
    with pytest.raises(ConfigurationError, match="leave nothing to train on"):
        resolve({"data": {"validation_share": 0.5, "test_share": 0.5}}, vocabulary_size=9)


def test_keywords_find_their_section() -> None:
    assert settings_from_keywords({"lstm_size": 3, "epochs": 2}) == {
        "model": {"lstm_size": 3},
        "training": {"epochs": 2},
    }
    with pytest.raises(ConfigurationError, match="did you mean 'epochs'"):
        settings_from_keywords({"epoch": 2})


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'training'"):
        resolve({"trainig": {}}, vocabulary_size=9)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "-1s", "0s", "1d", "1 m", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_seconds(text)


def test_clipping_off_is_an_infinite_threshold() -> None:
    assert OptimizerConfig(grad_clip=0).clip_threshold == inf
    assert OptimizerConfig(grad_clip=2).clip_threshold == 2


def test_a_choice_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'best'.*choose from best, latest"):
        check_choice("checkpoint", "bets", ("best", "latest"))


def test_toml_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbf[model]\r\nlstm_size = 8\r\n")
    assert parse_toml(path, "file") == {"model": {"lstm_size": 8}}


def test_an_error_shows_no_traceback_of_pydantic() -> None:
    with pytest.raises(ConfigurationError, match=r"`?batch_size`? must be an integer; given 2\.5") as caught:
        build(DataConfig, {"batch_size": 2.5})
    assert caught.value.__suppress_context__
