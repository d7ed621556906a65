"""The types of arguments that name files and runs: what can't be used is an error in one line, before any work."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path

from charkit.errors import CharkitError
from charkit.runs.run import Run


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


def opened_run(given: str) -> Run:
    """A run to read."""
    try:
        return Run.open(Path(given))
    except CharkitError as error:
        raise ArgumentTypeError(str(error)) from error
