"""The keys of a sweep's settings: those of the configuration as ``section.key``, and a few with names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charkit.config import SECTION_OF, SECTIONS
from charkit.errors import ConfigurationError, nearest, shown
from charkit.settings import Settings, check_key

#: Keys that are none of the configuration's: what computes, and where the other settings come from.
OWN_KEYS = ("backend", "recipe")
#: The short names of three keys of the configuration; their long names are read too.
SHORT_NAMES = {"data.text": "text", "training.precision": "precision", "training.seed": "seed"}
#: Keys with several strings at once: a trial reads all of these texts, and all files with these patterns.
SEVERAL_STRINGS = ("text", "data.glob")
_LONG_NAMES = {short: long for long, short in SHORT_NAMES.items()}
_ALLOWED = "backend, precision, recipe, seed, text, and section.key for any other setting"


def flattened(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of a TOML table by key, whether it has ``"model.lstm_size"``, ``model.lstm_size`` or ``[x.model]``.

    Raises ConfigurationError for a key that is unknown or stands there twice; ``where`` begins its message.
    """
    found: dict[str, Any] = {}
    for name, value in table.items():
        inside = value.items() if name in SECTIONS and isinstance(value, Mapping) else None
        pairs = [(name, value)] if inside is None else [(f"{name}.{key}", each) for key, each in inside]
        for written, each in pairs:
            key = checked_key(written, where)
            if key in found:
                raise ConfigurationError(f"{where}{key} appears twice; remove one")
            found[key] = each
    return found


def checked_key(written: str, where: str) -> str:
    """The key by its short name, if it has one. Raises ConfigurationError for an unknown one, naming the nearest."""
    section, dot, key = written.partition(".")
    if dot:
        check_key(section, key, where)
        return SHORT_NAMES.get(written, written)
    if written not in (*OWN_KEYS, *_LONG_NAMES):
        near = nearest(written, [*OWN_KEYS, *_LONG_NAMES, *SECTIONS])
        if written in SECTIONS:
            near = f" (it is a section; write '{written}.' followed by one of its settings)"
        if written in SECTION_OF:
            near = f" (did you mean '{SECTION_OF[written]}.{written}'?)"
        raise ConfigurationError(f"{where}unknown key {shown(written)}{near}; the keys are {_ALLOWED}")
    return written


def are_strings(value: Any) -> bool:
    """Whether a value is a list of one or more strings."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def as_one(value: Any) -> Any:
    """A value to show: several strings as one."""
    return " ".join(value) if isinstance(value, list) else value


def section_and_key(key: str) -> tuple[str, str] | None:
    """Where the configuration has a key; None for one of ``OWN_KEYS``."""
    section, dot, name = _LONG_NAMES.get(key, key).partition(".")
    return (section, name) if dot else None


def settings_by_section(values: Mapping[str, Any]) -> Settings:
    """The values of a trial as settings of a run, without ``OWN_KEYS``."""
    settings: Settings = {}
    for key, value in values.items():
        place = section_and_key(key)
        if place is not None:
            one_text = key in SEVERAL_STRINGS and isinstance(value, str)
            found = (value,) if one_text else tuple(value) if isinstance(value, list) else value
            settings.setdefault(place[0], {})[place[1]] = found
    return settings
