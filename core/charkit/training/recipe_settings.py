"""The configuration of a new run: what was asked for, over what its recipe has for the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charkit.config import RunConfig
from charkit.durations import duration_seconds
from charkit.recipe import Recipe, rule_of, with_batch_of_shards
from charkit.recipe_listing import describe_settings
from charkit.recipe_rule import Rule, eval_every, fitting_batch, most_steps, settings_by_rule
from charkit.runs.planned_end import total_steps
from charkit.settings import LENGTH, Settings, merge, resolve
from charkit.text.sources import reading_without_effect
from charkit.training.schedule import settings_without_effect

_BATCH = ("batch_size", "num_steps")
_Given = Mapping[str, Mapping[str, Any]]


def check_settings(recipe: Recipe, asked: _Given) -> RunConfig:
    """The configuration before the text is known, which decides the vocabulary and what a rule has for it.

    Raises ConfigurationError for a setting that can't be, so that nothing is read in vain.
    """
    settings = _layered(recipe.settings, asked)
    if rule_of(recipe) is not None:
        settings = with_batch_of_shards(settings)
    return resolve(settings, vocabulary_size=2)


def configure(
    recipe: Recipe, asked: _Given, training_symbols: int, vocabulary_size: int
) -> tuple[RunConfig, tuple[str, ...]]:
    """The configuration of a run on a text of such a size, and what a user should read of how it came about.

    ``asked`` is what was asked for by name, and wins. Raises ConfigurationError.
    """
    rule, own = rule_of(recipe), recipe.settings
    if rule is not None:
        checked = check_settings(recipe, asked)
        limit, shards = checked.training.time_limit, checked.data.shards
        seconds = None if limit is None else duration_seconds(limit)
        own = merge(own, settings_by_rule(rule, training_symbols, vocabulary_size, seconds, shards))
    config = resolve(_layered(own, asked), vocabulary_size, recipe=recipe.label)
    shrunk: tuple[str, ...] = ()
    if rule is not None:
        config, shrunk = with_fitting_batch(config, asked, training_symbols)
        if seconds is not None and not _asks_for_length(asked):
            config = _with_most_steps(rule, config, training_symbols)
        config = _with_validations(rule, config, asked, training_symbols, seconds)
    return config, (*_describe(recipe, config, training_symbols), *shrunk)


def without_effect(asked: _Given, config: RunConfig) -> tuple[str, ...]:
    """A line for each setting that was asked for and has no effect in this configuration."""
    return (
        *settings_without_effect(asked.get("training", {}), config.optimizer, config.training),
        *reading_without_effect(asked.get("data", {}), config.data),
    )


def _layered(own: Settings, asked: _Given) -> Settings:
    """What was asked for over the recipe's own. How long to train is one thing, by epochs or by steps.

    So a length that is asked for takes the place of the recipe's, and a number of steps that comes without a number of
    epochs is not cut short by the epochs that a configuration has by default.
    """
    given, had = asked.get("training", {}), own.get("training", {})
    if not _asks_for_length(asked) or not any(key in had for key in LENGTH):
        return merge(own, asked)
    training: dict[str, Any] = {key: value for key, value in had.items() if key not in LENGTH}
    if given.get("epochs") is None:
        training["epochs"] = None
    return merge({**own, "training": training}, asked)


def with_fitting_batch(
    config: RunConfig, asked: _Given, training_symbols: int
) -> tuple[RunConfig, tuple[str, ...]]:
    """The configuration with a batch that fits the text, and a notice if it is another; what was asked for stays."""
    data = config.data
    keep = [key for key in _BATCH if key in asked.get("data", {})]
    batch_size, num_steps = fitting_batch(
        training_symbols, data.batch_size, data.num_steps, keep=keep, shards=data.shards
    )
    if (batch_size, num_steps) == (data.batch_size, data.num_steps):
        return config, ()
    changed = data.model_copy(update={"batch_size": batch_size, "num_steps": num_steps})
    return config.model_copy(update={"data": changed}), (
        f"the text is too short for batches of {data.batch_size:,} x {data.num_steps:,}, so the batches are "
        f"{batch_size:,} x {num_steps:,}",
    )


def _asks_for_length(asked: _Given) -> bool:
    """Whether epochs or a number of steps were asked for."""
    return any(asked.get("training", {}).get(key) is not None for key in LENGTH)


def _with_most_steps(rule: Rule, config: RunConfig, training_symbols: int) -> RunConfig:
    """The configuration of a run with a time limit, with the steps that suit its batches, which may be asked for."""
    data = config.data
    steps = most_steps(rule, training_symbols, data.batch_size * data.num_steps)
    return config.model_copy(update={"training": config.training.model_copy(update={"max_steps": steps})})


def _with_validations(
    rule: Rule, config: RunConfig, asked: _Given, training_symbols: int, time_limit_seconds: float | None
) -> RunConfig:
    """The configuration with the steps between validations, unless they were asked for."""
    training, data = config.training, config.data
    if "eval_every" in asked.get("training", {}):
        return config
    symbols_per_step = data.batch_size * data.num_steps
    per_epoch = max(1, (training_symbols - 1) // symbols_per_step)
    every = eval_every(
        rule, total_steps(training, per_epoch), per_epoch, symbols_per_step, time_limit_seconds
    )
    return config.model_copy(update={"training": training.model_copy(update={"eval_every": every})})


def _describe(recipe: Recipe, config: RunConfig, training_symbols: int) -> tuple[str, ...]:
    """The settings that the run has, a line or two."""
    because = f" for {training_symbols:,} training symbols" if recipe.rule else ""
    return (f"recipe {recipe.label}{because}: {describe_settings(config)}",)
