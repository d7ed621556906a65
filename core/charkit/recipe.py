"""Recipes: settings that belong together, under a name, with what was measured of them.

A recipe is a TOML file. Those that come with charkit are in the folder ``recipes`` beside this module; a user's own is
named by its path. A recipe gives settings by section, as a configuration file does, or a rule by which they follow from
the text (``charkit.recipe_rule``), or both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from math import sqrt
from os import PathLike
from pathlib import Path
from statistics import mean, median, stdev
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from charkit.argument_checks import as_path
from charkit.config import SECTIONS, Section, build
from charkit.errors import ConfigurationError, nearest, shown
from charkit.recipe_rule import Rule, decided_by, settings_by_rule
from charkit.settings import Settings, check_key, merge, parse_toml, resolve

RECIPES_FOLDER = Path(__file__).parent / "recipes"
#: The recipe of a run for which none is named.
DEFAULT_RECIPE = "auto"
#: The 97.5 % quantile of Student's t distribution by degrees of freedom, from 1; the normal distribution's beyond.
_T_QUANTILES = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
_NORMAL_QUANTILE = 1.96
#: Losses are recorded with four decimals.
_ROUNDING_NATS = 0.00005


def _check_date(date: str) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", date) is None:
        raise ValueError("a date must be written as year, month and day, as in '2026-11-26'")
    return date


class RecipeText(Section):
    """The text that a recipe's results were measured on; ``source`` describes where to get it."""

    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str = Field(min_length=1)


class RecipeResult(Section):
    """A measured result of a recipe: the loss on a split, in nats per symbol, for each seed.

    ``seconds`` is the median duration of the whole command, ``charkit`` the version. ``spread_nats`` is the standard
    deviation between seeds; it is computed from the losses, and must be given if there is only one.
    """

    split: Literal["validation", "test"]
    seeds: tuple[int, ...] = Field(min_length=1)
    losses: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    spread_nats: float | None = Field(None, gt=0)
    seconds: float = Field(gt=0)
    machine: str = Field(min_length=1)
    charkit: str = Field(min_length=1)
    date: Annotated[str, BeforeValidator(str), AfterValidator(_check_date)]  # TOML has dates without quotes

    @model_validator(mode="after")
    def _has_a_spread(self) -> Self:
        if len(self.seeds) != len(self.losses):
            raise ValueError(
                f"the number of losses ({len(self.losses)}) differs from the number of seeds ({len(self.seeds)}); "
                "give one loss for each seed"
            )
        if len(self.losses) == 1 and self.spread_nats is None:
            raise ValueError("one seed has no spread; measure two or more, or give spread_nats")
        return self

    @property
    def loss(self) -> float:
        """The median over the seeds, nats per symbol."""
        return median(self.losses)

    @property
    def spread(self) -> float:
        """The standard deviation between seeds, nats."""
        return stdev(self.losses) if self.spread_nats is None else self.spread_nats

    @property
    def range(self) -> tuple[float, float]:
        """The range that contains the loss of another seed in 95 of 100 cases, in nats.

        It is the prediction interval, by Student's t, for a normal distribution that these seeds are a sample of. The
        lowest and the highest of three losses would be too narrow: every second new seed falls outside them.
        """
        known = len(self.losses)
        free = known - 1
        measured = self.spread_nats is None and free <= len(_T_QUANTILES)
        quantile = _T_QUANTILES[free - 1] if measured else _NORMAL_QUANTILE
        reach = quantile * self.spread * sqrt(1 + 1 / known) + _ROUNDING_NATS
        return mean(self.losses) - reach, mean(self.losses) + reach

    def __str__(self) -> str:
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        spread = f" ± {self.spread:.4f}" if len(self.seeds) > 1 else ""
        return f"{self.split} {self.loss:.4f}{spread} nats ({seeds})"


class Recipe(Section):
    """A recipe as read from its file: ``charkit.recipes()`` lists those that come with charkit.

    ``backend`` is the backend that it requires, if any; ``text`` is the text that its ``results`` were measured on.
    ``rule`` has the rows of the rule that derives its settings from the text, if there is one.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    purpose: str = Field(pattern=r"^[^\n]+$")
    backend: str | None = Field(None, min_length=1)
    text: RecipeText | None = None
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    rule: dict[str, Any] = Field(default_factory=dict, repr=False)
    results: tuple[RecipeResult, ...] = ()
    #: The file of a recipe that is not charkit's own.
    file: str | None = None

    @model_validator(mode="after")
    def _has_known_settings(self) -> Self:
        for section, values in self.settings.items():
            for key in values:
                _check_setting(section, key, rule=self.rule)
        settings = with_batch_of_shards(self.settings) if self.rule else self.settings
        data = resolve(settings, vocabulary_size=2).data
        for result in self.results:
            if getattr(data, f"{result.split}_share") == 0:
                raise ValueError(
                    f"there is a result on the {result.split} split, but that split's share of the text is 0; "
                    f"set data.{result.split}_share, or remove the result"
                )
        if self.rule:
            build(Rule, self.rule)
        if self.results and self.text is None:
            raise ValueError("results need the text that they were measured on; add a [text] table")
        return self

    @property
    def settings(self) -> Settings:
        """The recipe's settings by section and key, without those that a rule adds.

        If the recipe sets only ``max_steps``, ``epochs`` is None instead of its default.
        """
        given = {section: dict(getattr(self, section)) for section in SECTIONS}
        if "max_steps" in given["training"]:
            given["training"].setdefault("epochs", None)
        return {section: values for section, values in given.items() if values}

    @property
    def label(self) -> str:
        """The name that a run records, with the file's name if the recipe is not charkit's own."""
        return f"{self.name} ({Path(self.file).name})" if self.file else self.name


def with_batch_of_shards(settings: Settings) -> Settings:
    """Settings without a batch size get one that their shards divide, as a rule will choose it; for checks alone."""
    data = settings.get("data", {})
    shards = str(data.get("shards", ""))  # a number, or what was typed
    if "batch_size" in data or not shards.isdecimal():
        return settings
    return merge(settings, {"data": {"batch_size": shards}})


def rule_of(recipe: Recipe) -> Rule | None:
    """The rule of a recipe, None where its settings are the same for every text."""
    return build(Rule, recipe.rule) if recipe.rule else None


def _check_setting(section: str, key: str, *, rule: Mapping[str, Any]) -> None:
    check_key(section, key)
    if (section, key) == ("data", "text"):
        raise ValueError("a recipe applies to any text, so it can't set data.text; leave it out")
    if (section, key) == ("training", "seed"):
        raise ValueError("training.seed is chosen for each run; leave it out")
    if rule and key in decided_by(rule).get(section, ()):
        raise ValueError(f"{section}.{key} follows from the rule; leave it out, or leave the rule out")


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe. Raises ConfigurationError, in one line, for a file that is missing or is none."""
    table = parse_toml(path, "recipe file")
    if "file" in table:
        raise ConfigurationError(f"{str(path)!r}: unknown key 'file'; leave it out")
    try:
        return build(Recipe, {**table, "file": None if path.parent == RECIPES_FOLDER else str(path)})
    except ConfigurationError as error:
        is_none = not {"name", "purpose"} & table.keys()
        advice = "; a file of settings alone is given with `config` (`settings` in Python)" if is_none else ""
        raise ConfigurationError(f"{str(path)!r}: {error}{advice}") from error


@cache
def built_in_recipes() -> tuple[Recipe, ...]:
    """The recipes that come with charkit: the default one and the classic first, then by name."""
    found = {path.stem: read_recipe(path) for path in RECIPES_FOLDER.glob("*.toml")}
    first = {DEFAULT_RECIPE: 0, "classic": 1}
    return tuple(found[name] for name in sorted(found, key=lambda name: (first.get(name, 2), name)))


def find_recipe(recipe: str | PathLike[str]) -> Recipe:
    """The recipe of a name, or in a file where the name ends with ``.toml`` or is a path.

    Raises ConfigurationError for a name that no recipe has, with the nearest, and for a file that is no recipe.
    """
    if not isinstance(recipe, str) or recipe.endswith(".toml") or "/" in recipe:
        return read_recipe(as_path("`recipe`", recipe))
    known = {one.name: one for one in built_in_recipes()}
    if recipe not in known:
        raise ConfigurationError(
            f"unknown recipe {shown(recipe)}{nearest(recipe, known)}; choose from {', '.join(known)}, or give the path "
            "of a TOML file"
        )
    return known[recipe]


def auto_settings(
    training_symbols: int, vocabulary_size: int, time_limit_seconds: float | None = None
) -> Settings:
    """What the recipe ``auto`` has for a text with so many symbols in its training split, so many of them distinct."""
    auto = find_recipe(DEFAULT_RECIPE)
    rule = build(Rule, auto.rule)
    return merge(auto.settings, settings_by_rule(rule, training_symbols, vocabulary_size, time_limit_seconds))


def settings_of_recipes() -> set[str]:
    """The keys that some recipe of charkit's gives or decides, so that their defaults are those of `classic` alone."""
    decided = {
        key
        for recipe in built_in_recipes()
        if recipe.rule
        for keys in decided_by(recipe.rule).values()
        for key in keys
    }
    return decided | {
        key for recipe in built_in_recipes() for keys in recipe.settings.values() for key in keys
    }
