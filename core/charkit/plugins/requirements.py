"""What a distribution requires beside what is installed: by metadata alone, so nothing of either is imported."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, version
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet


class Unmet(NamedTuple):
    """A requirement that is not met; ``installed`` is the version that is there instead, or None."""

    name: str
    extras: frozenset[str]
    versions: SpecifierSet
    installed: str | None

    def __str__(self) -> str:
        """The requirement as ``name[extra]>=1,<2``, lower bounds first."""
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        bounds = sorted(map(str, self.versions), key=lambda bound: (bound[0] in "<!", bound))
        return f"{self.name}{extras}{','.join(bounds)}"


def unmet(distribution: Distribution) -> list[Unmet]:
    """The distribution's own requirements, without extras, that what is installed does not meet.

    Pre-releases and local versions count as pip counts what is already there. What lies on the path under
    another distribution's name (``tensorflow`` by tensorflow-cpu) is there in a version that is not known,
    and is let through. Raises ValueError for metadata that can't be read.
    """
    needed = (Requirement(line) for line in distribution.requires or ())
    return [
        Unmet(need.name, frozenset(need.extras), need.specifier, installed)
        for need in needed
        if need.marker is None or need.marker.evaluate({"extra": ""})
        for installed in [_installed(need.name)]
        if not _meets(need, installed)
    ]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _meets(need: Requirement, installed: str | None) -> bool:
    if installed is None:
        module = PathFinder.find_spec(need.name.replace("-", "_"))
        return module is not None and module.origin is not None  # a folder without code has no origin
    return need.specifier.contains(installed, prereleases=True)


def install_command(needs: Iterable[Unmet]) -> str:
    """The command that installs what is needed, in the versions that are."""
    return shlex.join(["pip", "install", *map(str, needs)])
