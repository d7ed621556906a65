"""Shell completion: what may follow what was typed so far, for bash, zsh, fish and PowerShell.

``toolkit --install-completion`` installs the shell's script, which calls ``toolkit`` with an environment variable at
each press of Tab. That answers commands, options and choices, and the backends, recipes and runs that there are; where
it answers nothing, the shell completes file names. Like the help, it imports no framework.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typer.completion import shell_complete

_VARIABLE = "_TOOLKIT_COMPLETE"
#: A shell evaluates what it is given, and a folder of someone else's may have any name.
_PLAIN = re.compile(r"[\w./+@%-]+", re.ASCII)
_RUNS = "runs"


def words_to_complete() -> list[str] | None:
    """The words typed so far, without the program; None where nothing is to be completed."""
    if not os.environ.get(_VARIABLE):
        return None
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return typed.split()[1:]


def complete(group: Any) -> int:
    """Prints the shell's script or the completions, as the environment asks, and returns the exit status."""
    try:
        return shell_complete(group, {}, "toolkit", _VARIABLE, os.environ[_VARIABLE])
    except SystemExit as ended:  # fish is answered by a status
        return ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush()


def among(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Completes one of the choices."""
    known = list(choices)

    def complete_choice(incomplete: str) -> list[str]:
        return [choice for choice in known if choice.startswith(incomplete)]

    return complete_choice


def installed_backends(incomplete: str) -> list[str]:
    """Completes the name of an installed backend."""
    from charkit.plugins.discovery import installed

    return [
        name for name in dict.fromkeys(plugin.name for plugin in installed()) if name.startswith(incomplete)
    ]


def listed_backends(incomplete: str) -> list[str]:
    """Completes the last of several names of installed backends, as in ``numpy,to``."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in installed_backends(last) if name not in before.split(",")]


def observer_names(incomplete: str) -> list[str]:
    """Completes the name of an installed observer."""
    from charkit.plugins.discovery import entry_points_in

    names = sorted({entry.name for entry in entry_points_in("charkit.observers")})
    return [name for name in names if name.startswith(incomplete)]


def recipe_names(incomplete: str) -> list[str]:
    """Completes the name of a recipe of charkit's own; a path is left to the shell."""
    from charkit.recipe import RECIPES_FOLDER

    names = sorted(path.stem for path in RECIPES_FOLDER.glob("*.toml"))
    return [name for name in names if name.startswith(incomplete)]


def run_paths(incomplete: str) -> list[str]:
    """Completes the path of a run: those in ``runs``, and those beside what was typed."""
    typed, slash, _ = incomplete.rpartition("/")
    if slash:  # as it was typed, such as ./runs/
        found = [f"{typed}/{entry.name}" for entry in _entries(Path(f"{typed}/"))]
    else:
        found = [str(entry) for folder in (Path(_RUNS), Path()) for entry in _entries(folder)]
    return [path for path in found if path.startswith(incomplete) and _PLAIN.fullmatch(path)]


def _entries(folder: Path) -> list[Path]:
    """The runs in a folder, by name; none where it can't be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if (entry / "config.json").is_file())
    except OSError:
        return []
