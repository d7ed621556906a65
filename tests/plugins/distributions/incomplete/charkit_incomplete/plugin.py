"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="incomplete", factory="charkit_incomplete.backend:IncompleteBackend", summary="made for a test"
    )
