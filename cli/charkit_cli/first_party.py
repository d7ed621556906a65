"""charkit's own plugins, for hints on what could be installed; an installed one is found like any other."""

from __future__ import annotations

from collections.abc import Iterable

#: Each has a folder of this name in ``backends/`` of the source tree.
FIRST_PARTY = ("torch", "tensorflow", "jax")


def missing_plugins(installed: Iterable[str]) -> list[str]:
    """A line on the first-party plugins that are not among the installed names; none where all are."""
    missing = sorted(set(FIRST_PARTY) - set(installed), key=FIRST_PARTY.index)
    if not missing:
        return []
    folders = " ".join(f"./backends/{name}" for name in missing)
    return [
        f"not installed: {', '.join(missing)}; in charkit's source directory, run: pip install . {folders}"
    ]
