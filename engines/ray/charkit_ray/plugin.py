"""Registers the engine; imports no Ray."""

from charkit.distributed.hookspecs import EngineInfo
from charkit.hookspecs import hookimpl


@hookimpl
def charkit_engine() -> EngineInfo:
    """The engine on Ray."""
    return EngineInfo(
        name="ray",
        factory="charkit_ray.engine:RayEngine",
        summary="workers are actors in a Ray cluster, by default a cluster on this machine",
        requires="pip install 'ray>=2.40'",
    )
