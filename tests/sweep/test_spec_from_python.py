"""What Python has and TOML has not, in a sweep that is given as a mapping: it is read as ``charkit.train`` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit_sweep.spec_reading import spec_from_table
from sweep_support import FIXED, spec_of, sweep

#: Settings of a sweep over its seeds, for ``spec_of``.
SEEDS: dict[str, Any] = {"search": "grid", "trials": None, "halving": None}


def plain(value: Any) -> bool:
    """Whether JSON has such a value, and reads it back as the same."""
    return bool(json.loads(json.dumps(value)) == value)


@pytest.mark.parametrize(
    "seeds",
    [
        (0, 1, 2),
        range(3),
        np.arange(3),
        [np.int64(0), np.uint8(1), 2],
        np.array([0, 1, 2], np.float32).astype(int),
    ],
)
def test_any_sequence_is_an_axis(seeds: Any) -> None:
    axis = spec_from_table(spec_of(None, **SEEDS, axes={"seed": seeds})).axes[0]
    assert axis.values == (0, 1, 2)
    assert all(type(value) is int for value in axis.values)
    assert axis.written == [0, 1, 2]


def test_numbers_of_numpy_are_numbers_wherever_they_are() -> None:
    table = spec_of(
        None,
        search_seed=np.int64(7),
        trials=np.int32(5),
        halving={"first_rung": np.int64(2)},
        fixed={**FIXED, "model": {"lstm_size": np.int64(8), "dropout": np.float64(0.5)}},
        axes={
            "optimizer.learning_rate": {"low": np.float64(0.25), "high": np.float32(0.5), "log": np.bool_(1)}
        },
    )
    spec = spec_from_table(table)
    assert plain(spec.table())
    assert spec.table()["axes"] == {"optimizer.learning_rate": {"low": 0.25, "high": 0.5, "log": True}}
    assert (spec.trials, spec.search_seed, spec.rungs[0]) == (5, 7, 2)
    assert spec_from_table(spec.table()) == spec


def test_paths_are_texts_and_recipes() -> None:
    Path("mine.toml").write_text('name = "mine"\npurpose = "a test"\n[training]\nmax_steps = 9\n')
    for text, read in ((Path("t.txt"), ["t.txt"]), ((Path("t.txt"), "u.txt"), ["t.txt", "u.txt"])):
        fixed = {"recipe": Path("mine.toml")}
        spec = spec_from_table({**spec_of(None, **SEEDS, fixed=fixed, axes={"seed": [1]}), "text": text})
        assert spec.fixed == {"text": read, "recipe": "mine.toml"}
    axes = {"text": (Path("t.txt"), (Path("u.txt"), Path("v.txt")))}
    assert spec_from_table(spec_of(None, **SEEDS, axes=axes)).axes[0].values == ("t.txt", ["u.txt", "v.txt"])


def test_such_a_sweep_runs_and_is_resumed(text_file: Path) -> None:
    table = {**spec_of(None, **SEEDS, axes={"seed": np.arange(2)}), "text": text_file}
    result = charkit.sweep(table, threads=np.int64(1))  # type: ignore[arg-type]
    assert [trial.values for trial in result.trials] == [{"seed": 0}, {"seed": 1}]
    assert sweep(table, resume=True).sweep == result.sweep


def test_a_number_of_trials_may_be_numpy_s(text_file: Path) -> None:
    table = spec_of(text_file, halving=None)
    assert len(sweep(table, trials=np.int64(1), parallel=np.int64(1)).trials) == 1


class NestedForever(dict[str, Any]):
    """A mapping that is its own value."""

    def __init__(self) -> None:
        super().__init__()
        self["low"] = self


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {5: [1]}}, "axes: keys must be strings; given 5"),
        ({"axes": {"seed": {"low": 1, 5: 2}}}, "axes: seed: keys must be strings; given 5"),
        ({"axes": {"model": {None: [1]}}}, "axes: model: keys must be strings; given None"),
        ({"fixed": {b"seed": 1}}, "fixed: keys must be strings; given b'seed'"),
        ({"halving": {1: 2}}, "halving: keys must be strings; given 1"),
        ({1: 2}, "keys must be strings; given 1"),
        (
            {"axes": {"seed": range(10**12)}},
            "axes: seed: a range may have at most 10,000 values; given range(0, 1000000000000)",
        ),
        (
            {"axes": {"seed": {1, 2}}},
            "axes: seed: an axis must be a list of values, such as [64, 128], or a range",
        ),
        (
            {"axes": {"seed": np.zeros((2, 2))}},
            "axes: seed: a value must be a number or a string; given [0.0, 0.0]",
        ),
        ({"axes": {"seed": range(0)}}, "axes: seed: the list is empty; give at least one value"),
        ({"fixed": {"seed": (1, 2)}}, "fixed: seed must have one value, a number or a string; given [1, 2]"),
        ({"axes": {"seed": NestedForever()}}, "axes: seed: the range's low must be a number; given {"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(changes: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        sweep({**spec_of(None, **SEEDS), **changes})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert not Path("sweeps").exists()


@pytest.mark.parametrize("spec", [5, b"a.toml", ["a.toml"]])
def test_a_spec_that_is_neither_a_path_nor_a_mapping(spec: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        charkit.sweep(spec)
    assert str(error.value).startswith(
        "`spec` must be the path of a TOML file, or a mapping with the same content; given "
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "a\0b"}, "`spec` must not contain a null character; given 'a\\x00b'"),
        ({"resume": "a\0b"}, "`resume` must not contain a null character; given 'a\\x00b'"),
        ({"resume": 5}, "`resume` must be a path; given 5"),
        ({"resume": 0}, "`resume` must be a path; given 0"),
        ({"resume": b"small"}, "`resume` must be a path; given b'small'"),
        ({"resume": True, "name": 5}, "`name` must be the name of a sweep; given 5"),
    ],
)
def test_what_is_no_path_is_refused(arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        charkit.sweep(**arguments)
    assert str(error.value) == message


def test_a_resume_of_none_starts_a_sweep() -> None:
    with pytest.raises(ConfigurationError, match=r"^no sweep was given; give the path"):
        charkit.sweep(resume=None)
