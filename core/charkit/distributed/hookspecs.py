"""The hook by which a plugin registers an engine. This module imports neither NumPy nor an engine's library."""

from __future__ import annotations

from typing import NamedTuple

from charkit.hookspecs import hookspec

#: The entry points of engines that run workers elsewhere, each by the name of its engine.
ENTRY_POINT_GROUP = "charkit.engines"


class EngineInfo(NamedTuple):
    """What a plugin declares about its engine before the library that it uses is imported.

    ``factory`` names the subclass of ``charkit.distributed.engine.Engine`` as ``"package.module:Class"``. ``requires``
    says what to install if its library is missing.
    """

    name: str
    factory: str
    summary: str
    requires: str = ""


@hookspec
def charkit_engine() -> EngineInfo:  # type: ignore[empty-body]
    """Returns the description of the plugin's one engine, without importing its library."""
