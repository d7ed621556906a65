"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(name="dies", factory="charkit_dies.backend:DiesBackend", summary="made for a test")
