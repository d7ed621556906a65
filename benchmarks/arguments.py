"""The types of arguments that name files and runs: what can't be used is an error in one line, before any work."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

from charkit.errors import CharkitError

if TYPE_CHECKING:
    from charkit.runs.run import Run


def positive_integer(given: str) -> int:
    """A whole number of 1 or more."""
    return _integer_from(1, given)


def integer_from_zero(given: str) -> int:
    """A whole number of 0 or more."""
    return _integer_from(0, given)


def _integer_from(least: int, given: str) -> int:
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if number < least:
        raise ArgumentTypeError(f"{given!r} is not a whole number of {least} or more")
    return number


def positive_number(given: str) -> float:
    """A number above 0."""
    number = _number(given)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{given!r} is not a number above 0")
    return number


def dropout_share(given: str) -> float:
    """A share of outputs that can be dropped."""
    number = _number(given)
    if not 0 <= number < 1:
        raise ArgumentTypeError(f"{given!r} is not a number from 0 to below 1")
    return number


def _number(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        return math.nan


def input_file(given: str) -> Path:
    """A file to read."""
    if os.path.isdir(given) or not os.access(given, os.R_OK):
        raise ArgumentTypeError(f"{given!r} is not a file that can be read; give the path of one")
    return Path(given)


def output_file(given: str) -> Path:
    """A file to write, which may exist."""
    if os.path.exists(given):
        writable = not os.path.isdir(given) and os.access(given, os.W_OK)
    else:
        folder = os.path.dirname(given) or "."
        writable = os.path.isdir(folder) and os.access(folder, os.W_OK)
    if not writable:
        raise ArgumentTypeError(f"{given!r} can't be written; give a file in a directory that exists")
    return Path(given)


def picture_file(given: str) -> Path:
    """A picture to write, of a kind that Matplotlib draws."""
    if not given.endswith((".png", ".svg", ".pdf")):
        raise ArgumentTypeError(
            f"{given!r} has no ending of a picture; give a file that ends in .png, .svg or .pdf"
        )
    return output_file(given)


def opened_run(given: str) -> Run:
    """A run to read."""
    from charkit.runs.run import (
        Run,  # here, or it would count as memory of the participants that are measured
    )

    try:
        return Run.open(Path(given))
    except CharkitError as error:
        raise ArgumentTypeError(str(error)) from error
