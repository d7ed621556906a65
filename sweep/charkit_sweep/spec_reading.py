"""Reads a sweep from TOML or from Python, and checks that its trials can be trained and searched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, get_args

import numpy as np

from charkit.config import SECTIONS, RunConfig, build
from charkit.errors import ConfigurationError, nearest, shown
from charkit.recipe import DEFAULT_RECIPE, find_recipe
from charkit.settings import parse_toml, settings_from_keywords
from charkit.synonyms import advice
from charkit.training.recipe_settings import check_settings
from charkit_sweep.axes import MOST_VALUES, Axis, Value, parse_axis
from charkit_sweep.keys import OWN_KEYS, SEVERAL_STRINGS, are_strings, flattened, section_and_key
from charkit_sweep.spec import Halving, Search, SweepSpec, check_trials

_TABLES = ("fixed", "axes", "halving")
_TOP_KEYS = ("text", "name", "search", "search_seed", "trials", *_TABLES)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
#: Settings that no sweep can have, and why.
_REFUSED = {
    "training.time_limit": "a trial's length is set in steps or epochs, so that it is the same on any machine; limit "
    "the whole sweep with `time_limit`",
    "training.on_save_error": "a sweep always stops if a save fails",
}


def read_spec(path: Path, beside: Mapping[str, Any] | None = None) -> SweepSpec:
    """Reads a sweep from a TOML file; unnamed, it is called as the file. Raises ConfigurationError.

    ``beside`` has what is given beside the file, and replaces its own keys.
    """
    table = parse_toml(path, "sweep file")
    return spec_from_table({"name": path.stem, **table, **(beside or {})}, f"{str(path)!r}: ")


def spec_from_table(
    table: Mapping[str, Any], where: str = "", recipe_copies: Mapping[str, Path] | None = None
) -> SweepSpec:
    """A sweep from what TOML or Python has; ``where`` begins the messages. Raises ConfigurationError."""
    table = _plain(table, where, levels=8)
    for key in table:
        if key not in _TOP_KEYS:
            raise ConfigurationError(
                f"{where}unknown key {shown(key)}{advice(key, _TOP_KEYS) or nearest(key, _TOP_KEYS)}; the keys are "
                f"{', '.join(_TOP_KEYS)}"
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


def _plain(value: Any, where: str, levels: int) -> Any:
    """The value as TOML would have it: paths as strings, NumPy's numbers as Python's, and sequences as lists.

    What is none of these stays, and so does what is nested deeper than any sweep. Raises ConfigurationError for keys
    that are no strings, and for very long ranges.
    """
    if not levels:
        return value
    if isinstance(value, Mapping):
        others = [key for key in value if not isinstance(key, str)]
        if others:
            raise ConfigurationError(f"{where}keys must be strings; given {shown(others[0])}")
        return {str(key): _plain(each, f"{where}{key}: ", levels - 1) for key, each in value.items()}
    if isinstance(value, range) and len(value) > MOST_VALUES:
        raise ConfigurationError(
            f"{where}a range may have at most {MOST_VALUES:,} values; given {shown(value)}"
        )
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple | range):
        return [_plain(each, where, levels - 1) for each in value]
    return fspath(value) if isinstance(value, PathLike) else value


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        given = "it is missing" if name is None else f"given {shown(name)}"
        raise ConfigurationError(
            f"{where}`name` is the name of the sweep's directory; it may contain only letters, digits, '.', '_' and "
            f"'-', and must begin with a letter or a digit; {given}"
        )
    return name


def _fixed_value(key: str, value: Any, where: str) -> Any:
    if key == "text" and isinstance(value, str):
        return [value]
    if key in SEVERAL_STRINGS:
        if isinstance(value, str) or are_strings(value):
            return value
        raise ConfigurationError(
            f"{where}fixed: {key} must be a string, or a list of one or more strings; given {shown(value)}"
        )
    if isinstance(value, str | int | float):
        return value
    raise ConfigurationError(
        f"{where}fixed: {key} must have one value, a number or a string; given {shown(value)}; "
        "several values belong under axes"
    )


def _search_of(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    search = table.get("search", "grid")
    if search not in get_args(Search):
        near = nearest(search, get_args(Search)) if isinstance(search, str) else ""
        raise ConfigurationError(f"{where}search must be grid, random or tpe; given {shown(search)}{near}")
    found: dict[str, Any] = {"search": search, "search_seed": 0, "trials": None}
    for name, least in (("search_seed", 0), ("trials", 1)):
        value = table.get(name)
        if value is None:
            continue
        if type(value) is not int or not least <= value < 2**63:
            raise ConfigurationError(
                f"{where}`{name}` must be an integer of at least {least}; given {shown(value)}"
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
            raise ConfigurationError(f"{where}{key} is under both fixed and axes; remove one")
    check_trials(spec, where)
    if spec.halving is not None:
        _check_halving(spec, names, where)
    _check_values(spec, where)


def _check_halving(spec: SweepSpec, axes: Mapping[str, Axis], where: str) -> None:
    assert spec.halving is not None
    first = spec.halving.first_rung
    for key in ("training.max_steps", "training.epochs", "training.eval_every"):
        if key in axes:
            raise ConfigurationError(
                f"{where}{key} can't be an axis with halving, because trials are compared after the same number of "
                "steps; remove it from axes"
            )
    length = spec.fixed.get("training.max_steps")
    if "training.epochs" in spec.fixed or length is None:
        raise ConfigurationError(
            f"{where}halving compares trials after the same number of steps, so their length must be "
            "given in steps: set training.max_steps under fixed, and leave out training.epochs"
        )
    every = spec.fixed.get("training.eval_every")
    steps = settings_from_keywords({"max_steps": length} | ({} if every is None else {"eval_every": every}))
    checked = check_settings(find_recipe(DEFAULT_RECIPE), steps).training
    whole = checked.max_steps
    if whole is None or first >= whole:
        raise ConfigurationError(
            f"{where}halving: first_rung must be below training.max_steps, {length}; given {first}"
        )
    if every is not None and first % (checked.eval_every or 1):
        raise ConfigurationError(
            f"{where}training.eval_every must divide halving's first_rung, {first}, because trials are compared after "
            f"validations; given {shown(every)}"
        )


def _check_values(spec: SweepSpec, where: str) -> None:
    """Raises ConfigurationError for a value that its key does not allow, beside the first ones of the other axes."""
    first: dict[str, Value] = {axis.key: axis.ends()[0] for axis in spec.axes}
    for axis in spec.axes:
        for value in axis.ends():
            values = {**first, axis.key: value}
            try:
                config = _config_of(spec, values)
            except ConfigurationError as error:
                about = _about(spec, axis, value, error)
                raise ConfigurationError(f"{where}{about}{error}") from error
            if not spec.recipe_copies:  # a sweep that has copies has begun, perhaps before this was refused
                _check_recipe(config, spec.own_setting("recipe", values), where)
            if config.data.validation_share == 0:
                raise ConfigurationError(
                    f"{where}data.validation_share is 0, but trials are judged by their validation loss; "
                    "give a share above 0"
                )


def _check_recipe(config: RunConfig, recipe: Any, where: str) -> None:
    """Raises ConfigurationError for a setting that no sweep can have, where the trial's recipe has it."""
    for key, why in _REFUSED.items():
        section, name = key.split(".")
        schema = SECTIONS[section].model_fields[name]
        if getattr(getattr(config, section), name) != schema.default:
            raise ConfigurationError(
                f"{where}the recipe {shown(recipe)} sets {key}, which can't be set in a sweep: {why}; remove "
                f"{key} from the recipe, or use another recipe"
            )


def _config_of(spec: SweepSpec, values: Mapping[str, Any]) -> RunConfig:
    """The configuration of the trial with these values of the axes. Raises ConfigurationError."""
    for key in OWN_KEYS:
        name = spec.own_setting(key, values)
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(f"{key} must be a name; given {shown(name)}")
    return check_settings(spec.recipe(values), spec.settings(values))


def _about(spec: SweepSpec, axis: Axis, value: Value, error: ConfigurationError) -> str:
    """What an error found with this value of the axis begins with: the value, unless the fixed settings are wrong."""
    inside = section_and_key(axis.key)
    if inside is not None and inside[1] in str(error):
        return ""  # the error names it
    try:
        _config_of(spec, {})
    except ConfigurationError as of_fixed:
        if str(of_fixed) == str(error):
            return "fixed: "
    return f"with {axis.key} = {shown(value)}: "
