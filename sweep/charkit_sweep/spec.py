"""What a sweep is: its text, its fixed settings, its axes, and how they are searched, as ``SPEC.toml`` has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from charkit.config import MOST_STEPS, Section, build, check_choice
from charkit.errors import ConfigurationError, nearest, shown
from charkit.recipe import DEFAULT_RECIPE, Recipe, find_recipe
from charkit.settings import Settings, parse_toml, settings_from_keywords
from charkit.training.recipe_settings import check_settings
from charkit_sweep.axes import Axis, Value, parse_axis
from charkit_sweep.keys import OWN_KEYS, flattened, section_and_key, settings_by_section

Search = Literal["grid", "random", "tpe"]
#: A grid of which some trials are drawn is held as a whole, in the order in which they come.
MOST_GRID_POINTS = 1_000_000
#: Of a sweep: more than anybody trains, and few enough to look through between two trials.
MOST_TRIALS = 10_000
_TABLES = ("fixed", "axes", "halving")
_TOP_KEYS = ("text", "name", "search", "search_seed", "trials", *_TABLES)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
#: Settings that no sweep can have, and why.
_REFUSED = {
    "training.time_limit": "a trial's length is set in steps or epochs, so that it is the same on any machine; limit "
    "the whole sweep with `time_limit`",
    "training.on_save_error": "a sweep stops when the disk is full",
}


class Halving(Section):
    """Successive halving: at each rung the best of ``factor`` trials go on, and the others stay where they are."""

    first_rung: int = Field(ge=1, le=MOST_STEPS, description="steps of a trial up to the first rung")
    factor: int = Field(
        3,
        ge=2,
        le=100,
        description="one trial in this many continues past a rung; each rung is this many times the previous one",
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
        return find_recipe(self.recipe_source(values) or DEFAULT_RECIPE)

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
        _check_trials(changed, "")
        return changed

    def extended(self, trials: int) -> SweepSpec:
        """The same for a sweep that has begun: its trials come in the order in which they did."""
        in_order = self.is_grid_in_order or self.trials is None
        return replace(self.with_trials(trials), is_grid_in_order=in_order)


def read_spec(path: Path) -> SweepSpec:
    """Reads a sweep from a TOML file; unnamed, it is called as the file. Raises ConfigurationError."""
    table = parse_toml(path, "sweep file")
    return spec_from_table({"name": path.stem, **table}, f"{str(path)!r}: ")


def spec_from_table(
    table: Mapping[str, Any], where: str = "", recipe_copies: Mapping[str, Path] | None = None
) -> SweepSpec:
    """A sweep from what TOML or Python has; ``where`` begins the messages. Raises ConfigurationError."""
    for key in table:
        if key not in _TOP_KEYS:
            raise ConfigurationError(
                f"{where}unknown key {shown(key)}{nearest(key, _TOP_KEYS)}; keys are {', '.join(_TOP_KEYS)}"
            )
    for key in _TABLES:
        if not isinstance(table.get(key, {}), Mapping):
            raise ConfigurationError(
                f"{where}{key} must be a table, as in [{key}]; given {shown(table[key])}"
            )
    fixed = flattened(table.get("fixed", {}), f"{where}fixed: ")
    written = flattened(table.get("axes", {}), f"{where}axes: ")
    if "text" in table:
        if "text" in fixed:
            raise ConfigurationError(f"{where}text is both at the top level and under fixed; remove one")
        fixed["text"] = table["text"]
    axes = tuple(parse_axis(key, value, f"{where}axes: ") for key, value in written.items())
    spec = SweepSpec(
        _name(table.get("name"), where),
        {key: _fixed_value(key, value, where) for key, value in fixed.items()},
        axes,
        **_search_of(table, where),
        recipe_copies=recipe_copies or {},
    )
    _check(spec, where)
    return spec


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        given = "it is missing" if name is None else f"given {shown(name)}"
        raise ConfigurationError(
            f"{where}`name` is the name of the sweep's directory; it may contain only letters, digits, '.', '_' and "
            f"'-', and must begin with a letter or a digit; {given}"
        )
    return name


def _fixed_value(key: str, value: Any, where: str) -> Any:
    texts = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    if key == "text" and isinstance(value, str):
        return [value]
    if isinstance(value, str | int | float) or (key == "text" and texts):
        return value
    raise ConfigurationError(
        f"{where}fixed: {key} must have one value, a number or a string; given {shown(value)}; "
        "several values belong under axes"
    )


def _search_of(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    search = table.get("search", "grid")
    if not isinstance(search, str):
        raise ConfigurationError(f"{where}search must be grid, random or tpe; given {shown(search)}")
    check_choice("search", search, get_args(Search))
    found: dict[str, Any] = {"search": search, "search_seed": 0, "trials": None}
    for name, least in (("search_seed", 0), ("trials", 1)):
        value = table.get(name)
        if value is None:
            continue
        if type(value) is not int or not least <= value < 2**63:
            raise ConfigurationError(
                f"{where}`{name}` must be an integer, at least {least}; given {shown(value)}"
            )
        found[name] = value
    if "halving" in table:
        try:
            found["halving"] = build(Halving, table["halving"])
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}halving: {error}") from error
    return found


def _check(spec: SweepSpec, where: str) -> None:
    """Raises ConfigurationError for what can't be trained or searched."""
    if not spec.axes:
        raise ConfigurationError(
            f"{where}a sweep needs at least one key under [axes], such as seed = [0, 1, 2]"
        )
    names = {axis.key: axis for axis in spec.axes}
    for key in (*spec.fixed, *names):
        if key in _REFUSED:
            raise ConfigurationError(f"{where}{key} can't be set in a sweep: {_REFUSED[key]}")
        if key in names and key in spec.fixed:
            raise ConfigurationError(f"{where}{key} is both fixed and an axis; leave one out")
    _check_trials(spec, where)
    if spec.halving is not None:
        _check_halving(spec, names, where)
    _check_values(spec, where)


def _check_trials(spec: SweepSpec, where: str) -> None:
    drawn = next((axis.key for axis in spec.axes if axis.values is None), None)
    if spec.search == "grid":
        if drawn is not None:
            raise ConfigurationError(
                f"{where}axes: {drawn} is a range without steps, which a grid can't enumerate; give it a `step` or a "
                "`count`, or set `search='random'`"
            )
        if spec.trials is not None and spec.trials > spec.grid_size:
            raise ConfigurationError(
                f"{where}the grid has {spec.grid_size:,} trials, so `trials` must be at most that; given {spec.trials}"
            )
        if spec.trials is not None and spec.grid_size > MOST_GRID_POINTS:
            raise ConfigurationError(
                f"{where}trials are drawn from a grid of at most {MOST_GRID_POINTS:,} points, and this one has "
                f"{spec.grid_size:,}; leave out values, or set `search='random'`"
            )
    elif spec.trials is None:
        raise ConfigurationError(
            f"{where}a {spec.search} search requires `trials`, the number of trials to run"
        )
    if spec.most_trials > MOST_TRIALS:
        raise ConfigurationError(
            f"{where}a sweep may have at most {MOST_TRIALS:,} trials, and this one has {spec.most_trials:,}; leave out "
            "values, or give a number of `trials`"
        )


def _check_halving(spec: SweepSpec, axes: Mapping[str, Axis], where: str) -> None:
    assert spec.halving is not None
    first = spec.halving.first_rung
    for key in ("training.max_steps", "training.epochs", "training.eval_every"):
        if key in axes:
            raise ConfigurationError(
                f"{where}{key} can't be an axis with halving: trials are compared at equal steps"
            )
    length = spec.fixed.get("training.max_steps")
    if "training.epochs" in spec.fixed or length is None:
        raise ConfigurationError(
            f"{where}halving compares trials after the same number of steps, so their length must be "
            "given in steps: set training.max_steps under fixed, and leave out training.epochs"
        )
    steps = settings_from_keywords({"max_steps": length})
    whole = check_settings(find_recipe(DEFAULT_RECIPE), steps).training.max_steps
    if whole is None or first >= whole:
        raise ConfigurationError(
            f"{where}halving: first_rung must be below training.max_steps, {length}; given {first}"
        )
    every = spec.fixed.get("training.eval_every")
    if every is not None and (type(every) is not int or every < 1 or first % every):
        raise ConfigurationError(
            f"{where}training.eval_every must divide halving's first_rung, {first}, because trials are compared at "
            f"validations; given {shown(every)}"
        )


def _check_values(spec: SweepSpec, where: str) -> None:
    """Raises ConfigurationError for a value that its key does not allow, beside the first ones of the other axes."""
    first: dict[str, Value] = {axis.key: axis.ends()[0] for axis in spec.axes}
    for axis in spec.axes:
        for value in axis.ends():
            values = {**first, axis.key: value}
            try:
                for key in OWN_KEYS:
                    name = spec.own_setting(key, values)
                    if name is not None and not isinstance(name, str):
                        raise ConfigurationError(f"{key} must be a name; given {shown(name)}")
                config = check_settings(spec.recipe(values), spec.settings(values))
            except ConfigurationError as error:
                inside = section_and_key(axis.key)
                named = inside is not None and inside[1] in str(error)
                about = "" if named else f"with {axis.key} = {shown(value)}: "
                raise ConfigurationError(f"{where}{about}{error}") from error
            if config.data.validation_share == 0:
                raise ConfigurationError(
                    f"{where}data.validation_share is 0, and trials are judged by their validation loss; "
                    "give a share above 0"
                )
