"""What a sweep is: its text, its fixed settings, its axes, and how they are searched, as ``SPEC.toml`` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from charkit.config import Section
from charkit.durations import MOST_STEPS
from charkit.errors import ConfigurationError, counted
from charkit.recipe import DEFAULT_RECIPE, Recipe, find_recipe
from charkit.settings import Settings
from charkit_sweep.axes import Axis
from charkit_sweep.keys import settings_by_section

Search = Literal["grid", "random", "tpe"]
#: A grid of which some trials are drawn is held as a whole, in the order in which they come.
MOST_GRID_POINTS = 1_000_000
#: Of a sweep: more than anybody trains, and few enough to look through between two trials.
MOST_TRIALS = 10_000


class Halving(Section):
    """Successive halving: at each rung the best of ``factor`` trials go on, and the others stay where they are."""

    first_rung: int = Field(ge=1, le=MOST_STEPS, description="number of steps before the first rung")
    factor: int = Field(
        3,
        ge=2,
        le=100,
        description="one in this many trials continues past each rung; each rung has this many times the "
        "steps of the previous one",
    )


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as it is asked for. ``fixed`` and ``axes`` have keys as ``charkit_sweep.keys`` has them."""

    name: str
    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]
    search: Search = "grid"
    search_seed: int = 0
    trials: int | None = None
    halving: Halving | None = None
    #: A sweep of a whole grid goes through it in order, and keeps that order when it gets another number of trials.
    is_grid_in_order: bool = False
    #: Copies of recipe files, by what the sweep calls them: a file may change while a sweep goes on.
    recipe_copies: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def grid_size(self) -> int:
        """How many trials the whole grid has."""
        return prod(len(axis.values or ()) for axis in self.axes)

    @property
    def most_trials(self) -> int:
        """How many trials there are."""
        return self.trials if self.trials is not None else self.grid_size

    @property
    def rungs(self) -> tuple[int, ...]:
        """The steps at which trials are compared before their end, the lowest first; none without halving."""
        if self.halving is None:
            return ()
        steps, found = self.halving.first_rung, []
        while steps < int(self.fixed["training.max_steps"]):
            found.append(steps)
            steps *= self.halving.factor
        return tuple(found)

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """The settings of the trial with these values of the axes, by section."""
        settings = settings_by_section({**self.fixed, **values})
        training = settings.setdefault("training", {})
        if self.halving is not None:
            training.setdefault("eval_every", self.halving.first_rung)
            training["epochs"] = None  # the steps are the length
        return settings

    def own_setting(self, key: str, values: Mapping[str, Any]) -> Any:
        """The trial's backend or recipe; None where neither is given."""
        return values.get(key, self.fixed.get(key))

    def backend(self, values: Mapping[str, Any]) -> str:
        """What computes the trial with these values, from its first step to its last. Raises ConfigurationError."""
        return str(self.own_setting("backend", values) or self.recipe(values).backend or "numpy")

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Where the trial's other settings come from. Raises ConfigurationError for a recipe that is none."""
        source = self.recipe_source(values)
        return find_recipe(DEFAULT_RECIPE if source is None else source)

    def recipe_source(self, values: Mapping[str, Any]) -> str | None:
        """The name of the trial's recipe, or the file that it is read from; None where none is given."""
        named = self.own_setting("recipe", values)
        return named if named not in self.recipe_copies else str(self.recipe_copies[named])

    def recipes(self) -> list[str]:
        """The names and files of all recipes that trials may have."""
        axis = next((axis for axis in self.axes if axis.key == "recipe"), None)
        named = [self.fixed.get("recipe")] if axis is None else list(axis.values or ())
        return [each for each in named if isinstance(each, str)]

    def table(self) -> dict[str, Any]:
        """The sweep as TOML would have it; ``spec_from_table`` reads it back."""
        return {
            "name": self.name,
            "search": self.search,
            "search_seed": self.search_seed,
            **({} if self.trials is None else {"trials": self.trials}),
            **({} if self.halving is None else {"halving": self.halving.model_dump()}),
            "fixed": dict(self.fixed),
            "axes": {axis.key: axis.written for axis in self.axes},
        }

    def with_trials(self, trials: int) -> SweepSpec:
        """The same with another number of trials. Raises ConfigurationError where there can't be so many."""
        if trials < 1:
            raise ConfigurationError(f"`trials` must be at least 1; given {trials}")
        changed = replace(self, trials=trials)
        check_trials(changed, "")
        return changed

    def extended(self, trials: int) -> SweepSpec:
        """The same for a sweep that has begun: its trials come in the order in which they did."""
        in_order = self.is_grid_in_order or self.trials is None
        return replace(self.with_trials(trials), is_grid_in_order=in_order)


def check_trials(spec: SweepSpec, where: str) -> None:
    """Raises ConfigurationError unless the axes have as many trials as are asked for; ``where`` begins the message."""
    drawn = next((axis.key for axis in spec.axes if axis.values is None), None)
    if spec.search == "grid":
        if drawn is not None:
            raise ConfigurationError(
                f"{where}axes: {drawn} is a range without steps, which a grid can't enumerate; give it a `step` or a "
                "`count`, or set `search='random'`"
            )
        if spec.trials is not None and spec.trials > spec.grid_size:
            raise ConfigurationError(
                f"{where}the grid has {counted(spec.grid_size, 'trial')}, so `trials` must be at most "
                f"{spec.grid_size:,}; given {spec.trials}"
            )
        if spec.trials is not None and spec.grid_size > MOST_GRID_POINTS:
            raise ConfigurationError(
                f"{where}trials can be drawn from a grid of at most {MOST_GRID_POINTS:,} points, but this one has "
                f"{spec.grid_size:,}; list fewer values, or set `search='random'`"
            )
    elif spec.trials is None:
        raise ConfigurationError(
            f"{where}a {spec.search} search requires `trials`, the number of trials to run"
        )
    if spec.most_trials > MOST_TRIALS:
        raise ConfigurationError(
            f"{where}a sweep may have at most {MOST_TRIALS:,} trials, but this one has {spec.most_trials:,}; list "
            f"fewer values, or set `trials` to at most {MOST_TRIALS:,}"
        )
