"""Commands to type, quoted as the system's usual shell reads them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from os import PathLike

#: What neither the Windows command prompt nor PowerShell gives a meaning of its own.
_PLAIN = re.compile(r"[\w.:\\/=+-]+")


def quoted(word: str) -> str:
    """The word in quotes if it needs them. Windows knows double quotes alone."""
    if os.name != "nt":
        return shlex.quote(word)
    return word if _PLAIN.fullmatch(word) else f'"{word}"'  # no name of a file has a double quote there


def quoted_path(path: PathLike[str]) -> str:
    """A path as an argument, which no command takes for an option."""
    text = str(path)
    return quoted(f".{os.sep}{text}" if text.startswith("-") else text)


def joined(words: Iterable[str]) -> str:
    """The words as one command line."""
    return " ".join(map(quoted, words))
