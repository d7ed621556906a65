"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="older", factory="charkit_older.backend:OlderBackend", summary="made for a test", api=0
    )
