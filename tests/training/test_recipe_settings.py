"""The settings of a new run: the recipe's where nothing else was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.config import RunConfig
from charkit.errors import ConfigurationError, TextError
from charkit.recipe import auto_settings, find_recipe
from charkit.training.recipe_settings import configure
from support import SMALL, SMALL_TEXT

FEW_STEPS: dict[str, Any] = {"max_steps": 2, "sample_length": 0, "threads": 1}


def made(text: str, **options: Any) -> RunConfig:
    """The configuration of a run of a few steps, as its folder has it."""
    return charkit.load_run(charkit.train(string=text, **{**FEW_STEPS, **options}).run).config


def configured(recipe: str, symbols: int = 100_000, **asked: dict[str, Any]) -> RunConfig:
    """The configuration that a run would have."""
    return configure(find_recipe(recipe), asked, symbols, 84)[0]


def written(content: str) -> str:
    Path("mine.toml").write_text('name = "mine"\npurpose = "to test"\n' + content, "utf-8")
    return "mine.toml"


def test_a_run_is_made_with_auto_unless_told_otherwise() -> None:
    heard: list[charkit.events.Event] = []
    config = made(SMALL_TEXT, on_event=heard.append, max_steps=3)
    (started,) = (event for event in heard if isinstance(event, charkit.events.Started))
    expected = auto_settings(started.training_symbols, started.vocabulary_size)
    assert config.recipe == "auto"
    assert config.model.model_dump(include={"lstm_size", "num_layers", "dropout"}) == expected["model"]
    assert config.data.model_dump(include={"batch_size", "num_steps"}) == expected["data"]
    assert config.optimizer.learning_rate == expected["optimizer"]["learning_rate"]
    assert (config.training.schedule, config.training.max_steps) == ("cosine", 3)
    (note,) = (notice for notice in started.notices if notice.startswith("recipe "))
    assert note.startswith(f"recipe auto for {started.training_symbols:,} training symbols: 2 x ")
    assert f"batches of {config.data.batch_size} x {config.data.num_steps}, " in note


@pytest.mark.parametrize(
    ("asked", "section", "key"),
    [
        ({"lstm_size": 24}, "model", "lstm_size"),
        ({"dropout": 0.125}, "model", "dropout"),
        ({"learning_rate": 0.125}, "optimizer", "learning_rate"),
        ({"num_steps": 7}, "data", "num_steps"),
        ({"schedule": "constant"}, "training", "schedule"),
        ({"eval_every": 17}, "training", "eval_every"),
    ],
)
def test_an_option_takes_the_place_of_its_part_alone(asked: dict[str, Any], section: str, key: str) -> None:
    without, wanted = configured("auto"), configured("auto", **{section: asked})
    assert getattr(getattr(wanted, section), key) == asked[key]
    changed = {
        section: getattr(wanted, section).model_copy(update={key: getattr(getattr(without, section), key)})
    }
    restored = wanted.model_copy(update=changed)
    assert restored == without


@pytest.mark.parametrize(
    ("recipe", "asked", "expected"),
    [
        ("auto", {"max_steps": 10**6}, (None, 10**6)),
        ("auto", {"epochs": 3}, (3, None)),
        ("auto", {"epochs": 3, "max_steps": 9}, (3, 9)),
        ("anna-20-epochs", {}, (20, None)),
        ("anna-20-epochs", {"max_steps": 10**6}, (None, 10**6)),
        ("shakespeare-2-minutes", {"epochs": 2}, (2, None)),
        ("classic", {}, (20, None)),
        ("classic", {"max_steps": 10**6}, (20, 10**6)),  # as ever: what comes first
    ],
)
def test_a_length_takes_the_place_of_the_recipes(
    recipe: str, asked: dict[str, Any], expected: tuple[int | None, int | None]
) -> None:
    training = configured(recipe, training=asked).training
    assert (training.epochs, training.max_steps) == expected


def test_a_recipe_of_steps_is_not_cut_short_by_epochs() -> None:
    training = configured(written("[training]\nmax_steps = 1_000_000\n"), symbols=5000).training
    assert (training.epochs, training.max_steps) == (None, 1_000_000)


def test_epochs_that_resume_a_run_of_steps_take_their_place() -> None:
    charkit.train(string=SMALL_TEXT, run="r", **FEW_STEPS)
    with pytest.raises(ConfigurationError, match="has reached its limit, `max_steps=2`"):
        charkit.train(resume="r", threads=1)
    further = charkit.train(resume="r", epochs=1, threads=1)
    assert further.stopped_because == "epochs"
    assert further.step > 2
    assert charkit.load_run("r").config.training.epochs is None


def test_resume_needs_no_recipe_and_takes_none() -> None:
    path = written(
        "[model]\nlstm_size = 8\n[data]\nbatch_size = 2\nnum_steps = 5\n[training]\nmax_steps = 2\n"
    )
    result = charkit.train(string=SMALL_TEXT, run="r", recipe=path, threads=1)
    Path(path).unlink()
    assert charkit.train(resume=result.run, max_steps=4, threads=1).step == 4
    assert charkit.load_run("r").config.recipe == "mine (mine.toml)"
    assert "| recipe | mine (mine.toml) |" in Path("r/README.md").read_text("utf-8")
    with pytest.raises(ConfigurationError, match="leave `recipe` out"):
        charkit.train(resume="r", recipe="auto", max_steps=6)


def test_a_resumed_run_of_auto_is_one_that_was_never_stopped() -> None:
    charkit.train(string=SMALL_TEXT, run="whole", threads=1, max_steps=20, sample_length=0)

    def stop(event: charkit.events.Event) -> None:
        if isinstance(event, charkit.events.Saved):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        charkit.train(string=SMALL_TEXT, run="parts", threads=1, max_steps=20, sample_length=0, on_event=stop)
    charkit.train(resume="parts", threads=1)
    whole, parts = (
        json.loads((Path(run) / "checkpoints/00000020/manifest.json").read_text("utf-8"))
        for run in ("whole", "parts")
    )
    assert whole["model.safetensors"] == parts["model.safetensors"]


def test_the_shape_of_a_source_wins_over_the_recipes_and_what_was_asked_for_does_not() -> None:
    source = charkit.train(string=SMALL_TEXT, run="source", **{**SMALL, **FEW_STEPS})
    for recipe in (None, "anna-20-epochs", "classic"):
        options = {"batch_size": 4, "num_steps": 8, "recipe": recipe}
        config = made(SMALL_TEXT, init_from=source.run, **options)
        assert (config.model.lstm_size, config.model.num_layers) == (8, 2)
        assert config.recipe == (recipe or "auto")
    with pytest.raises(charkit.RunError, match="has `lstm_size` 8; `init_from` can't change it to 16"):
        charkit.train(string=SMALL_TEXT, init_from=source.run, lstm_size=16)


def test_the_dropout_of_a_source_gives_way_to_a_recipe_that_is_named_and_to_what_was_asked_for() -> None:
    source = charkit.train(string=SMALL_TEXT, run="source", dropout=0.125, **{**SMALL, **FEW_STEPS}).run
    mine = written("[model]\ndropout = 0.25\n")

    def dropout(**options: Any) -> float:
        return made(SMALL_TEXT, init_from=source, batch_size=4, num_steps=8, **options).model.dropout

    assert dropout() == 0.125
    assert dropout(recipe=mine) == 0.25
    assert dropout(recipe="anna-20-epochs") == 0.4
    assert dropout(recipe="classic") == 0.0
    assert dropout(recipe="auto") == 0.5
    assert dropout(recipe=mine, dropout=0.375) == dropout(dropout=0.375) == 0.375


def test_the_shape_of_a_source_may_be_given_in_any_way_that_a_new_run_takes() -> None:
    source = charkit.train(string=SMALL_TEXT, run="source", **{**SMALL, **FEW_STEPS}).run
    for size in (8.0, "8"):
        config = made(SMALL_TEXT, init_from=source, settings={"model": {"lstm_size": size}}, batch_size=4)
        assert config.model.lstm_size == 8
    with pytest.raises(ConfigurationError, match="lstm_size must be an integer; given 'many'"):
        made(SMALL_TEXT, init_from=source, settings={"model": {"lstm_size": "many"}})


@pytest.mark.parametrize("length", [2, 3, 10, 150])
def test_a_text_of_any_length_trains_by_auto(length: int) -> None:
    text = ("ab" + SMALL_TEXT)[:length]
    config = made(text, validation_share=0, test_share=0)
    assert config.data.batch_size * config.data.num_steps < length


def test_a_batch_that_was_half_asked_for_fits_with_a_note() -> None:
    heard: list[charkit.events.Event] = []
    config = made(SMALL_TEXT, batch_size=2000, on_event=heard.append)
    assert (config.data.batch_size, config.data.num_steps) == (2000, 1)
    (started,) = (event for event in heard if isinstance(event, charkit.events.Started))
    assert [
        each for each in started.notices if each.startswith("the text is too short for batches of 2,000 x ")
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1000, "num_steps": 1000},
        {"batch_size": 10**6},
        {"settings": {"data": {"batch_size": 1000, "num_steps": 1000}}},
        {"recipe": "classic", "batch_size": 1000},
        {"recipe": "mine.toml"},
    ],
)
def test_a_batch_that_was_asked_for_is_refused_where_it_does_not_fit(options: dict[str, Any]) -> None:
    written("[data]\nbatch_size = 1000\n")
    with pytest.raises(TextError, match="too few for one batch: `batch_size` 1"):
        charkit.train(string=SMALL_TEXT, **options)
    assert not Path("runs").exists()


def test_a_recipe_may_name_its_backend_and_the_caller_another() -> None:
    path = written('backend = "absent"\n[model]\nlstm_size = 8\n[data]\nbatch_size = 2\nnum_steps = 5\n')
    with pytest.raises(charkit.BackendError, match="'absent'"):
        charkit.train(string=SMALL_TEXT, recipe=path, **FEW_STEPS)
    assert made(SMALL_TEXT, recipe=path, backend="numpy").model.lstm_size == 8


def test_a_time_limit_decides_the_size_with_the_text() -> None:
    sizes = [
        configured("auto", 10**8, training={"time_limit": limit}).model.lstm_size
        for limit in ("30s", "1h", "9h")
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("settings", [{"epochs": None}, {"epochs": None, "max_steps": None}])
def test_a_run_ends(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="`epochs` and `max_steps` are both unset"):
        configured("classic", training=settings)


def test_with_a_time_limit_a_batch_that_was_asked_for_makes_as_many_passes() -> None:
    def passes(**data: int) -> float:
        config = configured("auto", 2_000_000, training={"time_limit": "30m"}, data=data)
        assert config.training.max_steps is not None
        return config.training.max_steps * config.data.batch_size * config.data.num_steps / 2_000_000

    usual = passes()
    for batch_size in (1, 4, 512):
        assert passes(batch_size=batch_size) == pytest.approx(usual, rel=0.1)
    asked = configured(
        "auto", 2_000_000, training={"time_limit": "30m", "max_steps": 7}, data={"batch_size": 1}
    )
    assert asked.training.max_steps == 7


def test_a_text_without_a_training_split_is_too_short() -> None:
    with pytest.raises(TextError, match="0 symbols are too few for one batch"):
        charkit.train(string="ab", validation_share=0.9, test_share=0.0, time_limit="1m")


@pytest.mark.parametrize("shards", [2, 128, 1024])
def test_the_batch_of_a_rule_is_a_multiple_of_the_shards(shards: int) -> None:
    config = configured("auto", symbols=100_000_000, data={"shards": shards})
    assert config.data.batch_size % shards == 0
