"""Backends as plugins: find the installed ones, and create one.

    from charkit import plugins

    backend = plugins.create("numpy", precision="float64")
    for plugin in plugins.installed():
        print(plugin.name, plugin.distribution, plugin.version)

A plugin is a distribution with an entry point in the group ``charkit.backends``. It is found by its metadata; its code
is imported only when its backend is chosen, without that of other plugins.
"""

from __future__ import annotations

from charkit.plugins.backend_creation import create
from charkit.plugins.compatibility import FrameworkMissingError, WrongVersionError
from charkit.plugins.discovery import find, installed
from charkit.plugins.listing import InstalledBackends, backends
from charkit.plugins.plugin import Plugin
from charkit.plugins.probe import InstalledBackend

__all__ = [
    "FrameworkMissingError",
    "InstalledBackend",
    "InstalledBackends",
    "Plugin",
    "WrongVersionError",
    "backends",
    "create",
    "find",
    "installed",
]
