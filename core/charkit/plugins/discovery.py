"""What backends are installed: by metadata alone, nothing of them is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from charkit.errors import BackendError, nearest
from charkit.hookspecs import ENTRY_POINT_GROUP

INSTALL_HINT = "charkit's own are in its source folder: pip install . ./backends/NAME"


def installed() -> dict[str, list[EntryPoint]]:
    """Every claimed backend name with the entry points that claim it; more than one is a conflict."""
    return dict(_claims(tuple((folder, _modified(folder)) for folder in sys.path)))


@lru_cache(maxsize=4)
def _claims(folders: tuple[tuple[str, int], ...]) -> dict[str, list[EntryPoint]]:
    """The same while modules are found in the same folders, and nothing is installed there or removed."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(
        entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, distribution(entry))
    ):
        found.setdefault(entry.name, []).append(entry)
    return found


def _modified(folder: str) -> int:
    """When something was last put into the folder or taken out, in nanoseconds; 0 where there is none."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


def distribution(entry: EntryPoint) -> tuple[str, str]:
    """The name and version of the distribution that brings the entry point."""
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")


def find(name: str) -> EntryPoint:
    """The one entry point of that name. Raises BackendError for an unknown or twice claimed name."""
    claims = installed()
    if name not in claims:
        known = ", ".join(claims) or "none"
        raise BackendError(
            f"unknown backend {name!r}{nearest(name, claims)}; installed are {known}; {INSTALL_HINT}"
        )
    if len(claims[name]) > 1:
        owners = " and ".join(" ".join(distribution(entry)) for entry in claims[name])
        raise BackendError(f"backend {name!r} is claimed by {owners}; uninstall one of them")
    return claims[name][0]


def named(entry: EntryPoint) -> str:
    """How messages name a backend: by its name, its distribution and that one's version."""
    return f"backend {entry.name!r} ({' '.join(distribution(entry))})"


def each_name() -> Iterator[tuple[str, str, str]]:
    """Name, distribution and version of every installed backend; a conflict yields a row per claim."""
    for name, claims in installed().items():
        for entry in claims:
            yield (name, *distribution(entry))
