"""Checks of arguments of any function: paths, integers and open files."""

from __future__ import annotations

from collections.abc import Iterable
from io import TextIOBase
from operator import index
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, cast

from charkit.errors import CharkitError, ConfigurationError, shown


def as_path(name: str, value: Any, *, error: type[CharkitError] = ConfigurationError) -> Path:
    """The value as a path. Raises the error for anything but a str or a path, and for what no file can be called."""
    if not isinstance(value, str | PathLike) or not isinstance(fspath(value), str):
        held = next((each for each in ("run", "path") if isinstance(getattr(value, each, None), Path)), None)
        advice = f"; pass its {held} attribute, the run's directory" if held else ""
        raise error(f"{name} must be a path; given {shown(value)}{advice}")
    if not fspath(value):  # it would be the working directory
        raise error(f"{name} must be a non-empty path; given ''")
    found = Path(value)
    if "\0" in str(found):
        raise error(f"{name} must not contain a null character; given {shown(str(found))}")
    try:
        found.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # whether it has to exist is for others to say
    except OSError as reason:
        text = (reason.strerror or str(reason)).lower()
        raise error(f"can't access {str(found)!r}: {text}; give another path for {name}") from reason
    return found


def as_paths(name: str, value: Any, *, if_empty: str, advice: str) -> tuple[str | PathLike[str], ...]:
    """One path, or those in an iterable. Raises ConfigurationError for none, and for what is no path.

    ``if_empty`` and ``advice`` end the messages: what else to do than to give a path.
    """
    paths: tuple[Any, ...] = (value,)
    is_file = callable(getattr(value, "read", None)) and not isinstance(value, PathLike)
    if is_file:  # its lines would be taken for paths
        raise ConfigurationError(
            f"{name} must be one or more paths; given an open file; pass its path, or {advice}"
        )
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        paths = tuple(value)
        if not paths:
            raise ConfigurationError(f"{name} is empty; give one or more paths, {if_empty}")
    for path in paths:
        if not isinstance(path, str | PathLike) or not isinstance(fspath(path), str):
            raise ConfigurationError(f"{name} must be one or more paths; given {shown(path)}; {advice}")
        if "\0" in fspath(path):
            raise ConfigurationError(f"{name} must not contain a null character; given {shown(fspath(path))}")
    return paths


def integer(
    name: str,
    value: Any,
    least: int,
    most: int | None = None,
    *,
    error: type[ConfigurationError] = ConfigurationError,
) -> int:
    """The value as an int, whatever integer type it has. Raises the error for anything else, or out of range."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None:
        raise error(f"{name} must be an integer; given {shown(value)}")
    if number < least:
        raise error(f"{name} must be at least {least}; given {shown(number)}")
    if most is not None and number > most:
        raise error(f"{name} must be at most {most}; given {shown(number)}")
    return number


def check_booleans(**values: Any) -> None:
    """Raises ConfigurationError for anything but True and False: "no" would be taken for True."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"`{name}` must be True or False; given {shown(value)}")


def refuse_text(**numbers: Any) -> None:
    """Raises ConfigurationError for text, which the configuration would read as a number, as it must from files."""
    for name, value in numbers.items():
        if isinstance(value, str | bytes):
            raise ConfigurationError(f"{name} must be a number; given {shown(value)}")


def binary_file(name: str, value: Any) -> BinaryIO:
    """The value as an open file of bytes. Raises ConfigurationError for anything else."""
    if isinstance(value, TextIOBase) or not callable(getattr(value, "read", None)):
        raise ConfigurationError(
            f"{name} must be a binary file, such as open('text.txt', 'rb'); given {shown(value)}"
        )
    return cast(BinaryIO, value)
