"""Which engines there are: the local one, and those of installed plugins."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from charkit.distributed import hookspecs
from charkit.distributed.engine import Engine
from charkit.distributed.hookspecs import ENTRY_POINT_GROUP, EngineInfo
from charkit.distributed.local_engine import LocalEngine
from charkit.errors import EngineError, nearest
from charkit.hookspecs import PROJECT

LOCAL = LocalEngine.name
#: What brings charkit's own engines, by name.
_OWN = {"ray": "pip install ./engines/ray, in charkit's source directory"}


def engine_names() -> list[str]:
    """The names of the engines that can be chosen, the local one first."""
    return [LOCAL, *sorted(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))]


def find_engine(name: str) -> type[Engine]:
    """The engine of that name. Raises EngineError for one that is unknown, broken, or lacks its library."""
    if name == LOCAL:
        return LocalEngine
    found = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == name]
    if not found:
        names = engine_names()
        hint = f"; to add it: {_OWN[name]}" if name in _OWN else nearest(name, names)
        raise EngineError(f"unknown engine {name!r}{hint}; installed engines: {', '.join(names)}")
    if len(found) > 1:
        raise EngineError(
            f"engine {name!r} is claimed by {len(found)} installed plugins; uninstall all but one"
        )
    return _load(found[0])


def _load(entry: EntryPoint) -> type[Engine]:
    label = f"engine {entry.name!r} ({entry.dist.name if entry.dist else 'unknown'})"
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(entry.load(), name=entry.name)
        answers = manager.hook.charkit_engine()
    except Exception as error:  # a plugin may raise anything
        raise EngineError(f"{label} is broken: {_line(error)}") from error
    if len(answers) != 1 or not isinstance(answers[0], EngineInfo) or answers[0].name != entry.name:
        raise EngineError(
            f"{label} is broken: its module must implement charkit_engine with @hookimpl and return an EngineInfo of "
            f"that name; got {answers!r:.80}"
        )
    module, _, attribute = answers[0].factory.partition(":")
    try:
        engine: Any = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        advice = answers[0].requires or f"pip install {error.name}"
        raise EngineError(f"{label} needs {error.name}, which is not installed; {advice}") from error
    except Exception as error:  # a plugin may raise anything
        raise EngineError(f"{label} is broken: {_line(error)}") from error
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        raise EngineError(f"{label} is broken: {answers[0].factory} is not a subclass of Engine")
    return engine


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text:.200}"
