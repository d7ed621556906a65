"""Which plugins are installed, by metadata alone: nothing of them is imported."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from charkit.errors import BackendError, nearest, shown
from charkit.hookspecs import ENTRY_POINT_GROUP
from charkit.plugins.plugin import Plugin

INSTALL_HINT = "charkit's own are in its source folder: pip install . ./backends/NAME"


def installed() -> tuple[Plugin, ...]:
    """Every installed plugin, by name. Two of one name are a conflict, in which ``find`` takes no side."""
    folders = tuple((folder, _modified(folder)) for folder in sys.path)
    plugins = map(Plugin.from_entry_point, _entry_points(folders))
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution, plugin.version)))


@lru_cache(maxsize=4)
def _entry_points(folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Those of all plugins; read again when the path changes, or when something in its folders does."""
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _modified(folder: str) -> int:
    """When something was last put into the folder or taken out, in nanoseconds; 0 where there is none."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


def find(name: str) -> Plugin:
    """The installed plugin of that name. Raises BackendError for an unknown name, or one that two claim."""
    plugins = installed()
    claims = [plugin for plugin in plugins if plugin.name == name]
    if not claims:
        names = dict.fromkeys(plugin.name for plugin in plugins)
        known = ", ".join(names) or "none"
        raise BackendError(
            f"unknown backend {shown(name)}{nearest(name, names)}; installed are {known}; {INSTALL_HINT}"
        )
    if len(claims) > 1:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
        raise BackendError(f"backend {name!r} is claimed by {owners}; uninstall one of them")
    return claims[0]
