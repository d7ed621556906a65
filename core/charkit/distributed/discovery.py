"""Which engines there are: the local one, and those of installed plugins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from charkit.distributed import hookspecs
from charkit.distributed.engine import Engine
from charkit.distributed.hookspecs import ENTRY_POINT_GROUP, EngineInfo
from charkit.distributed.local_engine import LocalEngine
from charkit.errors import EngineError, advice_to_install, nearest, shown
from charkit.hookspecs import PROJECT
from charkit.plugins.discovery import entry_points_in
from charkit.plugins.failures import (
    describe_error,
    is_interruption,
    last_line_in,
    printable_line,
    represent,
    sources_of,
)

LOCAL = LocalEngine.name
INSTALL_HINT = (
    "to install one of charkit's own engines, run this in charkit's source directory: "
    "pip install . ./engines/NAME"
)
_REMEDY = "reinstall it, or choose another `engine`"


def engine_names() -> list[str]:
    """The names of the engines that can be chosen, the local one first."""
    return [LOCAL, *sorted({entry.name for entry in entry_points_in(ENTRY_POINT_GROUP)})]


def find_engine(name: str) -> type[Engine]:
    """The engine of that name. Raises EngineError for one that is unknown, broken, or lacks its library."""
    if name == LOCAL:
        return LocalEngine
    found = [entry for entry in entry_points_in(ENTRY_POINT_GROUP) if entry.name == name]
    if not found:
        names = engine_names()
        raise EngineError(
            f"unknown engine {shown(name)}{nearest(name, names)}; installed engines: "
            f"{printable_line(', '.join(names))}; {INSTALL_HINT}"
        )
    if len(found) > 1:
        owners = " and ".join(entry.dist.name if entry.dist else "unknown" for entry in found)
        raise EngineError(f"engine {name!r} is claimed by {owners}; uninstall all but one")
    return _load(found[0])


def _load(entry: EntryPoint) -> type[Engine]:
    """The class of a plugin's engine; imports the plugin and its library."""
    label = f"engine {entry.name!r} ({entry.dist.name if entry.dist else 'unknown'})"
    info = _info(entry, label)
    module, _, attribute = info.factory.partition(":")
    try:
        with _plugin_errors(label, entry.module, module, passing=ModuleNotFoundError):
            engine: Any = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in (module.partition(".")[0], PROJECT):
            raise EngineError(f"{label} is broken: {describe_error(error)}; {_REMEDY}") from error
        advice = info.requires or f"pip install {error.name}"
        raise EngineError(
            f"{label} needs {error.name}, which is not installed; {advice_to_install(advice)}"
        ) from error
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        raise EngineError(f"{label} is broken: {info.factory} is not a subclass of Engine; {_REMEDY}")
    return engine


def _info(entry: EntryPoint, label: str) -> EngineInfo:
    """What the plugin says of its engine; importing its module imports no library."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    with _plugin_errors(label, entry.module):
        manager.register(entry.load(), name=entry.name)
        answers = manager.hook.charkit_engine()
    if len(answers) != 1 or not isinstance(answers[0], EngineInfo) or answers[0].name != entry.name:
        raise EngineError(
            f"{label} is broken: its module must implement charkit_engine with @hookimpl and return an EngineInfo "
            f"with the engine's name; got {represent(answers, 80)}; {_REMEDY}"
        )
    return answers[0]


@contextmanager
def _plugin_errors(label: str, *modules: str, passing: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Raises EngineError, which names the engine, for whatever the code of its modules raises, SystemExit too.

    Those of ``passing`` and an interruption by the user pass as they are.
    """
    try:
        yield
    except passing:
        raise
    except BaseException as error:  # a plugin may even exit while it is imported
        sources = [path for module in modules for path in sources_of(module)]
        if is_interruption(error, sources):
            raise
        where = last_line_in(error, sources)
        raise EngineError(
            f"{label} is broken: {describe_error(error)}{f', at {where}' if where else ''}; {_REMEDY}"
        ) from error
