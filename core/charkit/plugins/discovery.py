"""Which plugins are installed, by metadata alone: nothing of them is imported."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions

from packaging.utils import canonicalize_name

from charkit.errors import BackendError, nearest, shown
from charkit.hookspecs import ENTRY_POINT_GROUP
from charkit.plugins.failures import describe_error, printable_line
from charkit.plugins.plugin import Plugin

_log = logging.getLogger(__name__)
INSTALL_HINT = (
    "to install one of charkit's own backends, run this in charkit's source directory: "
    "pip install . ./backends/NAME"
)


def installed() -> tuple[Plugin, ...]:
    """Returns every installed plugin, by name. If two have the same name, ``find`` raises an error."""
    plugins = map(Plugin.from_entry_point, entry_points_in(ENTRY_POINT_GROUP))
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution, plugin.version)))


def entry_points_in(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of all installed plugins in a group: backends, engines or observers.

    They are read again when the path changes, or when something in its folders does. A distribution whose metadata
    can't be read is reported and left out: it hides no other.
    """
    return _entry_points(group, tuple((folder, _modified(folder)) for folder in sys.path))


@lru_cache(maxsize=12)
def _entry_points(group: str, folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for position, distribution in enumerate(distributions()):
        try:
            points = tuple(distribution.entry_points.select(group=group))
            if points:
                fields = distribution.metadata
                name = str(fields["Name"]) if "Name" in fields else f"unnamed {position}"
                found.setdefault(canonicalize_name(name), points)  # Python imports the first on the path
        except Exception as error:  # noqa: BLE001 - metadata may be broken in any way
            if _is_plugin(distribution, group):
                _log.warning(
                    "the metadata of a plugin in %s can't be read: %s; reinstall or remove the plugin",
                    printable_line(str(distribution.locate_file(""))),
                    describe_error(error),
                )
    return tuple(point for points in found.values() for point in points)


def _is_plugin(distribution: Distribution, group: str) -> bool:
    """Whether the distribution means to bring something of the group, as far as can be seen of broken metadata."""
    try:
        return group in (distribution.read_text("entry_points.txt") or "")
    except (OSError, ValueError):
        return False


def _modified(folder: str) -> int:
    """When something was last put into the folder or taken out, in nanoseconds; 0 where there is none."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


def find(name: str) -> Plugin:
    """Returns the installed plugin of that name. Raises BackendError for an unknown name, or one claimed by two
    plugins.
    """
    plugins = installed()
    claims = [plugin for plugin in plugins if plugin.name == name]
    if not claims:
        names = dict.fromkeys(plugin.name for plugin in plugins)
        known = printable_line(", ".join(names)) or "none"
        suggestion = nearest(_spelled_out(name, names), names)
        raise BackendError(
            f"unknown backend {shown(name)}{suggestion}; installed backends: {known}; {INSTALL_HINT}"
        )
    if len(claims) > 1:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
        raise BackendError(f"backend {name!r} is claimed by {owners}; uninstall all but one")
    return claims[0]


def _spelled_out(name: str, known: Iterable[str]) -> str:
    """The only known name that this one abbreviates, by some of its letters in order from the first; else the name."""

    def abbreviates(whole: str) -> bool:
        rest = iter(whole)
        return whole[:1] == name[:1].lower() and all(letter in rest for letter in name.lower())

    meant = [whole for whole in known if abbreviates(whole)]
    return meant[0] if len(meant) == 1 else name
