"""What a message about a path that doesn't exist says of where it was looked for."""

from __future__ import annotations

import os
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

#: So many names of a directory are compared at most, since a directory may have millions.
_MOST_NAMES = 10_000
#: How alike two names are, from 0 to 1, where one may be the other mistyped.
_SIMILAR = 0.7


def hint_for_missing(path: Path) -> str:
    """`` (did you mean 'x'?)`` for a similar name beside it, or for a relative path the current directory, or nothing.

    What looks like an option was taken for the value of the one before it.

    Symbolic links are followed, and what can't be read has no hint: the error about the path itself is what counts.
    """
    if str(path).startswith("--"):
        return " (is the value of the option before it missing?)"
    with suppress(OSError, ValueError):
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
        visible = [name for name in names if not name.startswith(".")]
        for similar in get_close_matches(path.name[:100], visible, n=1, cutoff=_SIMILAR):
            return f" (did you mean {str(path.parent / similar)!r}?)"
    return hint_for_moved(path)


def hint_for_moved(path: Path) -> str:
    """The current directory if the path is relative to it; nothing otherwise, or if that is gone."""
    with suppress(OSError):
        return "" if path.is_absolute() else f" (the current directory is {str(Path.cwd())!r})"
    return ""
