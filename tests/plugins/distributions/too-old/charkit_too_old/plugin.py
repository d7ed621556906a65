"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="too-old", factory="charkit_too_old.backend:TooOldBackend", summary="made for a test"
    )
