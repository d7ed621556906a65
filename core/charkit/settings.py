"""Settings before they are a configuration: from a TOML file, ``section.key=value`` assignments, or keywords.

Each source gives a dictionary by section and key; laid over each other, the later wins. Unknown sections and keys are
refused with the nearest known one.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from charkit.config import DERIVED, SECTION_OF, SECTIONS, RunConfig, build
from charkit.errors import ConfigurationError, nearest, shown, shown_name
from charkit.synonyms import counterpart, suggestion

Settings = dict[str, dict[str, Any]]
#: How long to train is one thing, by epochs or by steps.
LENGTH = ("epochs", "max_steps")
#: The largest TOML file that is read. Recipes of charkit's own have a few thousand bytes.
LARGEST_FILE = 1 << 20


def read_toml(path: Path) -> Settings:
    """Reads settings from a TOML file of the sections model, optimizer, data and training.

    Raises ConfigurationError for a file that can't be read, is not TOML, or has an unknown section or key.
    """
    table = parse_toml(path, "configuration file")
    for section, values in table.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{str(path)!r}: {shown(section)} is outside any section; put it under one of {_names(SECTIONS)}"
            )
        check_section(section, where=f"{str(path)!r}: ")
        for key in values:
            check_key(section, key, where=f"{str(path)!r}: ")
    return table


def parse_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file, whatever it is; ``what`` is its kind, for messages. Raises ConfigurationError."""
    where = repr(str(path))
    try:
        # A pipe without a writer would be waited for without an end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigurationError(
                f"the {what} {where} is not a regular file; give the path of a TOML file"
            )
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigurationError(
                f"the {what} {where} has more than {LARGEST_FILE:,} bytes; give the path of a TOML file"
            )
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"the {what} {where} doesn't exist; give the path of a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"can't read the {what} {where}: {reason}; give the path of a TOML file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(
            f"{where} is not valid TOML: its lists or tables are nested too deeply"
        ) from error
    except ValueError as error:  # Python's own limit
        raise ConfigurationError(
            f"{where} is not valid TOML: it contains a number with too many digits"
        ) from error


def parse_assignment(assignment: str) -> Settings:
    """Reads one ``section.key=value``; the value is TOML where it parses as such, else a plain string.

    Raises ConfigurationError for anything else, and for an unknown section or key.
    """
    name, equals, text = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise ConfigurationError(
            f"the setting {shown(assignment)} is not of the form section.key=value, as in optimizer.learning_rate=0.002"
        )
    check_key(section, key)
    return {section: {key: _value(text.strip())}}


def _value(text: str) -> Any:
    """The value of an assignment: TOML where it is one value of TOML, else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text  # more lines would make more keys


def check_section(section: str, where: str = "") -> None:
    """Raises ConfigurationError, naming the nearest, unless there is such a section."""
    if section not in SECTIONS:
        raise ConfigurationError(
            f"{where}unknown section {shown(section)}{nearest(section, SECTIONS)}; the sections are {_names(SECTIONS)}"
        )


def check_key(section: str, key: str, where: str = "") -> None:
    """Raises ConfigurationError, naming the nearest, unless ``section.key`` is a key that may be set."""
    check_section(section, where)
    known = [name for name, its_section in SECTION_OF.items() if its_section == section]
    if (section, key) in DERIVED:
        raise ConfigurationError(f"{where}{section}.{key} comes from the text and can't be set; leave it out")
    if key not in known:
        is_name = isinstance(key, str)  # a mapping in Python may have any keys
        name = shown_name(f"{section}.{key}") if is_name else f"{shown(key)} in {section}"
        meant = _meant(section, key, known) if is_name else ""
        raise ConfigurationError(
            f"{where}unknown key {name}{meant}; the keys of {section} are {_names(known)}"
        )


def _meant(section: str, key: str, known: list[str]) -> str:
    """What an unknown key of a section may have meant, in that section or in another."""
    elsewhere = key if key in SECTION_OF else counterpart(key, SECTION_OF)
    if elsewhere and SECTION_OF[elsewhere] != section:
        return f" (did you mean '{SECTION_OF[elsewhere]}.{elsewhere}'?)"
    return suggestion(key, known)


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Lays settings over each other, key by key; the later wins."""
    merged: Settings = {}
    for layer in layers:
        for section, values in layer.items():
            if not isinstance(values, Mapping):
                raise ConfigurationError(
                    f"the section {shown(section)} of the settings must be a mapping, as in "
                    f"{{'model': {{'lstm_size': 256}}}}; given {shown(values)}"
                )
            merged.setdefault(section, {}).update(values)
    return merged


def without_none(settings: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings without those that are None, which are not set.

    ``epochs`` and ``max_steps`` are one length: beside one of them, None for the other says that it has no such limit.
    Unknown keys stay, to be refused.
    """
    training = settings.get("training", {})
    kept = {key for key in LENGTH if any(training.get(other) is not None for other in LENGTH)}
    return {
        section: {
            key: value
            for key, value in values.items()
            if value is not None or SECTION_OF.get(key) != section or key in kept
        }
        for section, values in settings.items()
    }


def settings_from_keywords(keywords: Mapping[str, Any]) -> Settings:
    """Sorts ``lstm_size=256, epochs=3`` into the sections that the keys belong to.

    Raises ConfigurationError for an unknown key.
    """
    settings: Settings = {}
    for key, value in keywords.items():
        if key not in SECTION_OF:
            raise ConfigurationError(f"unknown setting {shown(key)}{suggestion(key, SECTION_OF)}")
        settings.setdefault(SECTION_OF[key], {})[key] = value
    return settings


def resolve(
    settings: Mapping[str, Mapping[str, Any]], vocabulary_size: int, *, recipe: str = ""
) -> RunConfig:
    """Validates the settings and fills in defaults; ``recipe`` names where they are from. Raises ConfigurationError."""
    for section, values in merge(settings).items():
        check_section(section)
        for key in values:
            check_key(section, key)
    complete = merge(settings, {"model": {"vocabulary_size": vocabulary_size}})
    return build(RunConfig, {**complete, "recipe": recipe})


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def checked_settings(settings: Mapping[str, Mapping[str, Any]] | None) -> Settings:
    """The settings, none for None. Raises ConfigurationError for anything but a mapping of sections."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(
        isinstance(section, Mapping) for section in settings.values()
    ):
        raise ConfigurationError(
            "`settings` must be a mapping of sections, each a mapping of settings, such as {'model': {'lstm_size': "
            f"128}}}}; given {shown(settings)}"
        )
    return {section: dict(values) for section, values in settings.items()}
