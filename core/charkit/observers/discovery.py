"""Which observers are installed, and what each of them is made of."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

import pluggy

from charkit.errors import ObserverError, nearest, shown
from charkit.hookspecs import PROJECT
from charkit.observers import hookspecs
from charkit.observers.hookspecs import ENTRY_POINT_GROUP
from charkit.plugins.discovery import entry_points_in
from charkit.plugins.failures import describe_error, last_line_in, printable_line, sources_of


def observer_names() -> list[str]:
    """The names of the installed observers, sorted."""
    return sorted({entry.name for entry in entry_points_in(ENTRY_POINT_GROUP)})


def find_observer(name: str) -> EntryPoint:
    """The entry point of an observer. Raises ObserverError for one that is unknown, or that two plugins claim."""
    found = [entry for entry in entry_points_in(ENTRY_POINT_GROUP) if entry.name == name]
    if not found:
        names = observer_names()
        installed = printable_line(", ".join(names)) or "none"
        raise ObserverError(
            f"unknown observer {shown(name)}{nearest(name, names)}; installed observers: {installed}"
        )
    if len(found) > 1:
        owners = " and ".join(entry.dist.name if entry.dist else "unknown" for entry in found)
        raise ObserverError(f"observer {name!r} is claimed by {owners}; uninstall all but one")
    return found[0]


def load_observer(entry: EntryPoint) -> pluggy.PluginManager:
    """A plugin manager that calls the hook of this observer alone; imports its code.

    Raises ObserverError for a library that is missing, and for code that fails or implements no hook.
    """
    label = f"observer {entry.name!r}"
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        loaded = entry.load()
        manager.register(loaded() if isinstance(loaded, type) else loaded, name=entry.name)
        manager.check_pending()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == entry.module.partition(".")[0]:
            raise ObserverError(failure(f"{label} is broken", error, entry)) from error
        raise ObserverError(
            f"{label} needs {error.name}, which is not installed; run: pip install {distribution_of(error.name or '')}"
        ) from error
    except BaseException as error:
        raise ObserverError(failure(f"{label} is broken", error, entry)) from error
    if not manager.hook.charkit_event.get_hookimpls():
        raise ObserverError(
            f"{label} is broken: {entry.value} must implement charkit_event with @charkit.hookimpl"
        )
    return manager


def failure(what: str, error: BaseException, entry: EntryPoint) -> str:
    """A line that says what failed, why, and in which line of the observer's code."""
    where = last_line_in(error, _sources(entry))
    return f"{what}: {describe_error(error)}{f', at {where}' if where else ''}"


def _sources(entry: EntryPoint) -> Iterable[Path]:
    return sources_of(entry.module)


def distribution_of(module: str) -> str:
    """What to install for a module: most have the name of their distribution."""
    return module.partition(".")[0]
