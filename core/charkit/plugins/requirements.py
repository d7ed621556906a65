"""What a distribution requires, and what of it is missing: by metadata alone, so nothing is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, version
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from charkit.system.command_lines import joined

_log = logging.getLogger(__name__)
_CHARKIT = "charkit"


class Unmet(NamedTuple):
    """A requirement that is not met; ``installed`` is the version that is there instead, or None."""

    name: str
    extras: frozenset[str]
    versions: SpecifierSet
    installed: str | None
    url: str | None = None

    def __str__(self) -> str:
        """The requirement as ``name[extra]>=1,<2``, lower bounds first, or as ``name[extra] @ URL``."""
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        bounds = sorted(map(str, self.versions), key=lambda bound: (bound[0] in "<!", bound))
        return f"{self.name}{extras}{f' @ {self.url}' if self.url else ','.join(bounds)}"


def unmet(owner: Distribution) -> list[Unmet]:
    """The distribution's own requirements, without extras, that what is installed does not meet.

    Pre-releases and local versions count as pip counts what is already there. What lies on the path under
    another distribution's name (``tensorflow`` by tensorflow-cpu) is there in a version that is not known,
    and is let through. Raises ValueError for metadata that can't be read.
    """
    needed = (Requirement(line) for line in owner.requires or ())
    return [
        Unmet(need.name, frozenset(need.extras), need.specifier, installed, need.url)
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
    return joined(["pip", "install", *map(str, needs)])


def required_by_this() -> list[str]:
    """The names of the distributions that charkit itself requires, for its extras too, as its metadata have them."""
    return _required_names(distribution(_CHARKIT))


def required_by_plugins(*, known: Iterable[str] = ()) -> list[str]:
    """The names of those that the distributions of plugins require, of any kind, beside charkit and the known ones.

    Metadata that can't be read name none.
    """
    seen = {canonicalize_name(name) for name in known} | {_CHARKIT}
    found = []
    for each in distributions():
        try:
            names = _required_names(each) if _is_plugin(each) else []
        except Exception as error:  # noqa: BLE001 - metadata may be broken in any way
            _log.debug("the requirements of a plugin can't be read: %s", error)
            continue
        for name in names:
            if canonicalize_name(name) not in seen:
                seen.add(canonicalize_name(name))
                found.append(name)
    return sorted(found)


def _is_plugin(owner: Distribution) -> bool:
    """Whether a distribution other than charkit registers a backend, an engine or an observer."""
    groups = {point.group for point in owner.entry_points}
    return any(group.startswith("charkit.") for group in groups) and (
        canonicalize_name(owner.metadata["Name"]) != _CHARKIT
    )


def _required_names(owner: Distribution) -> list[str]:
    """Each name once, in the order of the metadata, for any system and with any extra."""
    return list(dict.fromkeys(Requirement(line).name for line in owner.requires or ()))
