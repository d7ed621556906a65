"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(
        name="lapses", factory="charkit_lapses.backend:LapsesBackend", summary="made for a test"
    )
