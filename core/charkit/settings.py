"""Settings before they are a configuration: from a TOML file, ``section.key=value`` assignments, or keywords.

Each source gives a dictionary by section and key; laid over each other, the later wins. Unknown sections and keys are
refused with the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from charkit.config import DERIVED, SECTION_OF, SECTIONS, RunConfig, build
from charkit.errors import ConfigurationError, nearest

Settings = dict[str, dict[str, Any]]


def read_toml(path: Path) -> Settings:
    """Reads settings from a TOML file of the sections model, optimizer, data and training.

    Raises ConfigurationError for a file that can't be read, is not TOML, or has an unknown section or key.
    """
    table = parse_toml(path, "configuration file")
    for section, values in table.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{str(path)!r}: {section!r} stands outside a section; put it under one of {_names(SECTIONS)}"
            )
        check_section(section, where=f"{str(path)!r}: ")
        for key in values:
            check_key(section, key, where=f"{str(path)!r}: ")
    return table


def parse_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file, whatever it is; ``what`` is its kind, for messages. Raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"no {what} {str(path)!r}; give the path of a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't read the {what} {str(path)!r}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{str(path)!r} is not TOML: {error}") from error


def parse_assignment(assignment: str) -> Settings:
    """Reads one ``section.key=value``; the value is TOML where it parses as such, else a plain string.

    Raises ConfigurationError for anything else, and for an unknown section or key.
    """
    name, equals, text = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise ConfigurationError(
            f"the setting {assignment!r} is not section.key=value, as in optimizer.learning_rate=0.002"
        )
    check_key(section, key)
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return {section: {key: value}}


def check_section(section: str, where: str = "") -> None:
    """Raises ConfigurationError, naming the nearest, unless there is such a section."""
    if section not in SECTIONS:
        raise ConfigurationError(
            f"{where}unknown section {section!r}{nearest(section, SECTIONS)}; sections are {_names(SECTIONS)}"
        )


def check_key(section: str, key: str, where: str = "") -> None:
    """Raises ConfigurationError, naming the nearest, unless ``section.key`` is a key that may be set."""
    check_section(section, where)
    known = [name for name, its_section in SECTION_OF.items() if its_section == section]
    if (section, key) in DERIVED:
        raise ConfigurationError(f"{where}{section}.{key} comes from the text and can't be set")
    if key not in known:
        raise ConfigurationError(
            f"{where}unknown key {section}.{key}{nearest(key, known)}; keys of {section} are {_names(known)}"
        )


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Lays settings over each other, key by key; the later wins."""
    merged: Settings = {}
    for layer in layers:
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    return merged


def settings_from_keywords(keywords: Mapping[str, Any]) -> Settings:
    """Sorts ``lstm_size=256, epochs=3`` into the sections that the keys belong to.

    Raises ConfigurationError for an unknown key.
    """
    settings: Settings = {}
    for key, value in keywords.items():
        if key not in SECTION_OF:
            raise ConfigurationError(f"unknown setting {key!r}{nearest(key, SECTION_OF)}")
        settings.setdefault(SECTION_OF[key], {})[key] = value
    return settings


def resolve(
    settings: Mapping[str, Mapping[str, Any]], vocabulary_size: int, *, recipe: str = ""
) -> RunConfig:
    """Validates the settings and fills in defaults; ``recipe`` names where they are from. Raises ConfigurationError."""
    for section, values in settings.items():
        check_section(section)
        for key in values:
            check_key(section, key)
    complete = merge(settings, {"model": {"vocabulary_size": vocabulary_size}})
    return build(RunConfig, {**complete, "recipe": recipe})


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
