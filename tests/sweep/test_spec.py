"""What a sweep's file may hold, and what is refused of it in one line."""

# Over 300 lines: one line for each mistake that a sweep's file can have.

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit_sweep.folder import SweepFolder
from charkit_sweep.spec import SweepSpec
from charkit_sweep.spec_reading import read_spec, spec_from_table
from sweep_support import FIXED, LEARNING_RATES, spec_of, sweep, to_toml


def axis_values(written: Any, key: str = "model.dropout") -> tuple[Any, ...] | None:
    spec = spec_from_table(spec_of(None, axes={key: written}, fixed={**FIXED, "model": {}}))
    return spec.axes[0].values


def test_a_file_is_read_in_every_way_that_toml_has_for_keys(tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    file.write_text(
        """
        text = "anna.txt"
        search = "random"
        trials = 5
        [fixed]
        "model.lstm_size" = 16
        training.max_steps = 30
        precision = "float64"
        [fixed.data]
        batch_size = 8
        [axes]
        training.seed = [0, 1]
        [axes.optimizer]
        learning_rate = { low = 1e-3, high = 1e-1, log = true }
        """
    )
    spec = read_spec(file)
    assert spec.name == "rates"
    assert spec.fixed == {
        "model.lstm_size": 16, "training.max_steps": 30, "precision": "float64", "data.batch_size": 8,
        "text": ["anna.txt"],
    }  # fmt: skip
    assert [axis.key for axis in spec.axes] == ["seed", "optimizer.learning_rate"]
    assert spec.settings({"seed": 1, "optimizer.learning_rate": 0.01}) == {
        "model": {"lstm_size": 16},
        "training": {"max_steps": 30, "precision": "float64", "seed": 1},
        "data": {"batch_size": 8, "text": ("anna.txt",)},
        "optimizer": {"learning_rate": 0.01},
    }


def test_what_is_written_into_the_folder_reads_back_as_the_same_sweep(text_file: Path) -> None:
    spec = spec_from_table(spec_of(text_file, axes={**LEARNING_RATES, "seed": [3, 4]}, search="tpe"))
    assert spec_from_table(spec.table()) == spec


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ([0.0, 0.5], (0.0, 0.5)),
        ({"low": 0.0, "high": 0.5, "step": 0.1}, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
        ({"low": 0.1, "high": 0.35, "step": 0.1}, (0.1, 0.2, 0.3)),
        ({"low": 0.1, "high": 0.5, "count": 3}, (0.1, 0.3, 0.5)),
        ({"low": 0.001, "high": 0.1, "count": 3, "log": True}, (0.001, 0.01, 0.1)),
        ({"low": 0.0, "high": 0.5}, None),
    ],
)
def test_lists_and_ranges_with_steps_have_their_values(
    written: Any, values: tuple[float, ...] | None
) -> None:
    assert axis_values(written) == values


def test_ranges_of_whole_numbers_hold_whole_numbers() -> None:
    assert axis_values({"low": 16, "high": 64, "step": 16}, "model.lstm_size") == (16, 32, 48, 64)
    assert axis_values({"low": 1, "high": 1000, "count": 4, "log": True}, "model.lstm_size") == (
        1,
        10,
        100,
        1000,
    )
    spec = spec_from_table(spec_of(None, axes={"seed": {"low": 3, "high": 6}}))
    drawn = {spec.axes[0].at(index / 100) for index in range(100)}
    assert drawn == {3, 4, 5, 6}


def test_drawn_numbers_are_short_and_stay_in_their_range() -> None:
    axis = spec_from_table(spec_of(None)).axes[0]
    drawn = [axis.at(index / 1000) for index in range(1000)]
    assert all(isinstance(value, float) and 1e-4 <= value <= 1e-1 for value in drawn)
    assert all(float(f"{value:.6g}") == value for value in drawn)
    below = sum(value < 10**-2.5 for value in drawn)  # the middle of the logarithm
    assert below == pytest.approx(500, abs=2)


def test_rungs_are_powers_of_the_factor_below_the_length() -> None:
    def rungs(first: int, factor: int, length: int) -> tuple[int, ...]:
        fixed = {**FIXED, "training": {"max_steps": length}}
        return spec_from_table(
            spec_of(None, halving={"first_rung": first, "factor": factor}, fixed=fixed)
        ).rungs

    assert rungs(100, 3, 2700) == (100, 300, 900)
    assert rungs(100, 3, 1000) == (100, 300, 900)
    assert rungs(10, 2, 11) == (10,)
    assert spec_from_table(spec_of(None, halving=None)).rungs == ()


def test_with_halving_trials_are_validated_at_every_rung_and_have_their_length_in_steps() -> None:
    training = spec_from_table(spec_of(None)).settings({})["training"]
    assert (training["eval_every"], training["epochs"], training["max_steps"]) == (2, None, 18)
    fixed = {**FIXED, "training": {"max_steps": 18, "eval_every": 1}}
    assert spec_from_table(spec_of(None, fixed=fixed)).settings({})["training"]["eval_every"] == 1


def test_what_computes_is_named_or_the_recipe_s_from_the_first_step_to_the_last(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\npurpose = "a test"\nbackend = "torch"\n[training]\nmax_steps = 9\n')
    spec = spec_from_table(spec_of(None, fixed={"recipe": str(recipe)}, halving=None))
    assert spec.backend({}) == "torch"
    assert spec.backend({"backend": "jax"}) == "jax"
    assert spec_from_table(spec_of(None)).backend({}) == "numpy"


def test_a_sweep_in_a_folder_has_absolute_paths_and_names_stay_names(text_file: Path) -> None:
    Path("auto").mkdir()
    Path("mine.toml").write_text('name = "mine"\npurpose = "a test"\n[training]\nmax_steps = 9\n')
    Path("near.txt").write_text("near")
    axes = {"recipe": ["auto", "mine.toml"], "text": ["near.txt", ["near.txt", str(text_file)]]}
    spec = spec_from_table(spec_of(None, search="grid", trials=None, halving=None, fixed={}, axes=axes))
    folder = SweepFolder.create(spec, threads=1, device=None, command="")
    near = str(Path("near.txt").resolve())
    assert [axis.values for axis in folder.spec.axes] == [
        ("auto", str(Path("mine.toml").resolve())),
        (near, [near, str(text_file)]),
    ]
    assert SweepFolder.open(folder.path).spec == folder.spec


def test_one_file_under_two_paths_is_in_a_list_twice(text_file: Path) -> None:
    axes = {"text": [str(text_file), f"{text_file.parent}/./{text_file.name}"]}
    spec = spec_from_table(spec_of(None, search="grid", trials=None, axes=axes))
    with pytest.raises(ConfigurationError, match=r"axes: text: .* is listed twice; remove one"):
        SweepFolder.create(spec, threads=1, device=None, command="")
    assert not Path("sweeps").exists()


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"nam": "x"}, "unknown key 'nam' (did you mean 'name'?); the keys are text, name, "),
    ({"name": "../x"}, "`name` is the name of the sweep's directory; it may contain only letters, digits, "),
    ({"name": None}, "must begin with a letter or a digit; it is missing"),
    ({"axes": None}, "a sweep needs at least one key under [axes], such as seed = [0, 1, 2]"),
    ({"axes": [1]}, "axes must be a table, as in [axes]; given [1]"),
    ({"axes": {"sead": [1]}}, "axes: unknown key 'sead' (did you mean 'seed'?); the keys are backend, precision, "),
    ({"axes": {"lstm_size": [1]}}, "axes: unknown key 'lstm_size' (did you mean 'model.lstm_size'?); the keys are "),
    ({"axes": {"model.lstm_sise": [1]}}, "axes: unknown key model.lstm_sise (did you mean 'lstm_size'?); the keys of"),
    ({"axes": {"model": {"lstm_sise": [1]}}}, "axes: unknown key model.lstm_sise (did you mean 'lstm_size'?)"),
    ({"axes": {"optimiser.beta1": [1]}}, "axes: unknown section 'optimiser' (did you mean 'optimizer'?)"),
    ({"axes": {"model.vocabulary_size": [9]}}, "axes: model.vocabulary_size comes from the text and can't be set"),
    ({"axes": {"seed": [1], "training": {"seed": [2]}}}, "axes: seed appears twice; remove one"),
    ({"axes": {"seed": 3}}, "axes: seed: an axis must be a list of values, such as [64, 128], or a range, such as {"),
    ({"axes": {"seed": []}}, "axes: seed: the list is empty; give at least one value"),
    ({"axes": {"seed": [1, 1]}}, "axes: seed: 1 is listed twice; remove one"),
    ({"axes": {"seed": [[1]]}}, "axes: seed: a value must be a number or a string; given [1]"),
    ({"axes": {"seed": {"low": 1}}}, "axes: seed: the range's high must be a number; it is missing"),
    ({"axes": {"seed": {"low": 1.5, "high": 3}}}, "axes: seed: the range's low must be an integer; given 1.5"),
    ({"axes": {"seed": {"low": 3, "high": 3}}}, "axes: seed: low must be below high; given 3 and 3"),
    ({"axes": {"seed": {"low": 0, "high": 3, "log": True}}}, "a logarithmic range must start above 0; given 0"),
    ({"axes": {"seed": {"low": 0, "high": 3, "lag": True}}}, "unknown key 'lag' in a range (did you mean 'log'?)"),
    ({"axes": {"seed": {"low": 0, "high": 3, "log": 1}}}, "axes: seed: log must be true or false; given 1"),
    ({"axes": {"seed": {"low": 0, "high": 3, "step": 0}}}, "axes: seed: step must be above 0; given step = 0"),
    ({"axes": {"seed": {"low": 0, "high": 9, "step": 1, "count": 2}}}, "takes either a step or a count; remove one"),
    ({"axes": {"seed": {"low": 0, "high": 99999, "step": 1}}}, "2 to 10,000 values; this one has 100,000"),
    ({"axes": {"optimizer.beta1": {"low": 0, "high": 0.5, "step": 1e-320}}}, "2 to 10,000 values; this one has"),
    ({"axes": {"seed": {"low": 0, "high": 10**400}}}, "axes: seed: the range's high must be a number; given 1000"),
    ({"axes": {"recipe": [1, 2]}, "fixed": {"training": {"max_steps": 9}}}, "recipe must be a name; given 1"),
    ({"axes": {"seed": [1]}, "fixed": {**FIXED, "recipe": 3}}, "recipe must be a name; given 3"),
    (
        {"search": "grid", "axes": {f"optimizer.beta{n}": {"low": 0, "high": 0.9, "count": 5000} for n in (1, 2)}},
        "trials can be drawn from a grid of at most 1,000,000 points, but this one has 25,000,000; list fewer values",
    ),
    ({"axes": {"seed": {"low": float("nan"), "high": 9}}}, "axes: seed: the range's low must be a number; given nan"),
    ({"axes": {"backend": {"low": 0, "high": 9}}}, "axes: backend: it is not numeric, so it can't have a range"),
    ({"axes": {"data.vocabulary": {"low": 0, "high": 9}}}, "data.vocabulary: it is not numeric, so it can't"),
    ({"axes": {"model.lstm_size": [0]}}, "model.lstm_size is under both fixed and axes; remove one"),
    ({"axes": {"optimizer.beta1": [0.9, 1.5]}}, "optimizer.beta1 must be below 1; given 1.5"),
    ({"axes": {"optimizer.beta1": {"low": 0.9, "high": 1.5}}}, "optimizer.beta1 must be below 1; given 1.5"),
    ({"axes": {"recipe": ["auto", "classik"]}, "fixed": {"training": {"max_steps": 9}}}, "with recipe = 'classik': "),
    ({"axes": {"training.time_limit": ["1h"]}}, "training.time_limit can't be set in a sweep: a trial's length is set"),
    ({"axes": {"data.shards": [1, 3]}}, "`shards` must be a power of two, such as 1, 2, 4 or 8; given 3"),
    ({"fixed": {"precision": "half"}, "halving": None}, "training.precision must be 'float32', 'float64' or"),
    ({"fixed": {"optimizer.learning_rate": 1e9}, "axes": {"seed": [0]}, "trials": 1, "halving": None},
     "'x.toml': fixed: optimizer.learning_rate must be at most 100; given"),
    (
        {"fixed": {"model": 3}},
        "fixed: unknown key 'model' (it is a section; write 'model.' followed by one of its settings)",
    ),
    ({"text": []}, "text must be a string, or a list of one or more strings; given []"),
    ({"axes": {"recipe": ["", "auto"]}, "fixed": {"training": {"max_steps": 9}}}, "with recipe = '': "),
    ({"fixed": {"seed": [1, 2]}}, "fixed: seed must have one value, a number or a string; given [1, 2]"),
    ({"text": ["a"], "fixed": {"text": "b"}}, "text is both at the top level and under fixed; remove one"),
    ({"fixed": {**FIXED, "data": {"validation_share": 0}}}, "data.validation_share is 0, but trials are judged by"),
    ({"search": "gird"}, "search must be grid, random or tpe; given 'gird' (did you mean 'grid'?)"),
    ({"search": "grid"}, "optimizer.learning_rate is a range without steps, which a grid can't enumerate; give"),
    ({"search": "grid", "axes": {"seed": [1, 2]}}, "the grid has 2 trials, so `trials` must be at most 2; given 9"),
    ({"trials": None}, "a random search requires `trials`, the number of trials to run"),
    ({"trials": 0}, "`trials` must be an integer of at least 1; given 0"),
    ({"trials": 20_000}, "a sweep may have at most 10,000 trials, but this one has 20,000"),
    ({"search_seed": -1}, "`search_seed` must be an integer of at least 0; given -1"),
    ({"halving": {"first_rung": 0}}, "halving: first_rung must be at least 1; given 0"),
    ({"halving": {"first_rung": 18}}, "halving: first_rung must be below training.max_steps, 18; given 18"),
    ({"halving": {"first_rung": 2, "factor": 1}}, "halving: factor must be at least 2; given 1"),
    ({"halving": {"first": 2}}, "halving: first_rung is missing (and 1 more problem)"),
    ({"fixed": {"training": {"epochs": 3}}}, "halving compares trials after the same number of"),
    ({"fixed": {"training": {"max_steps": 18, "eval_every": 3}}}, "training.eval_every must divide halving's"),
    ({"axes": {"training.max_steps": [9]}, "fixed": {}}, "training.max_steps can't be an axis with halving"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:50] for _, message in MISTAKES])
def test_a_mistake_is_one_line_that_names_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        spec_from_table(spec_of(None, **changes), "'x.toml': ")
    assert message in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            'time_limit = "10m"',
            "sets training.time_limit, which can't be set in a sweep: a trial's length is set in",
        ),
        (
            'on_save_error = "continue"',
            "sets training.on_save_error, which can't be set in a sweep: a sweep always stops",
        ),
    ],
)
@pytest.mark.parametrize("place", ["fixed", "axes"])
def test_a_recipe_with_a_setting_that_no_sweep_can_have_is_refused_by_its_name(
    setting: str, message: str, place: str
) -> None:
    Path("mine.toml").write_text(f'name = "mine"\npurpose = "a test"\n[training]\nmax_steps = 9\n{setting}\n')
    fixed = {key: value for key, value in FIXED.items() if key != "recipe"}
    changes: dict[str, Any] = {
        "fixed": {"fixed": {**fixed, "recipe": "mine.toml"}},
        "axes": {"fixed": fixed, "axes": {"recipe": ["classic", "mine.toml"]}},
    }[place]
    with pytest.raises(ConfigurationError) as found:
        spec_from_table(spec_of(None, **changes), "'x.toml': ")
    assert f"'x.toml': the recipe 'mine.toml' {message}" in str(found.value)
    assert str(found.value).endswith(
        f"; remove training.{setting.split(maxsplit=1)[0]} from the recipe, or use another recipe"
    )
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text = ", "'bad.toml' is not valid TOML: "),
        ("[axes]\nsead = [1]", "'bad.toml': axes: unknown key 'sead'"),
        ("axes = " + "[" * 2000, "nested too deeply"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_name(content: str, message: str) -> None:
    Path("bad.toml").write_text(content)
    with pytest.raises(ConfigurationError) as found:
        read_spec(Path("bad.toml"))
    assert message in str(found.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"the sweep file 'absent.toml' doesn't exist; give the path of a TOML file"
    ):
        read_spec(Path("absent.toml"))


def test_the_support_writes_toml_that_reads_back(text_file: Path) -> None:
    Path("small.toml").write_text(to_toml(spec_of(text_file)))
    assert read_spec(Path("small.toml")) == spec_from_table(spec_of(text_file))
    assert isinstance(read_spec(Path("small.toml")), SweepSpec)


def test_a_text_that_was_prepared_in_another_way_than_the_recipe_reads_it_makes_no_sweep(
    text_file: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "keep.toml"
    recipe.write_text(
        'name = "keep"\npurpose = "a test"\n[data]\nnewlines = "keep"\n[training]\nmax_steps = 9\n'
    )
    prepared = charkit.prepare(text_file, "prepared").path
    with pytest.raises(
        ConfigurationError, match="was prepared with newlines 'lf', but the recipe has 'keep'"
    ):
        sweep(spec_of(prepared, fixed={**FIXED, "recipe": str(recipe)}))
    assert not Path("sweeps").exists()


@pytest.mark.parametrize("every", [2, "2", 2.0])
def test_halving_takes_a_number_of_steps_as_training_does(every: Any) -> None:
    fixed = {**FIXED, "training": {**FIXED.get("training", {}), "max_steps": 18, "eval_every": every}}
    spec_from_table(spec_of(None, fixed=fixed, halving={"first_rung": 4}), "")
