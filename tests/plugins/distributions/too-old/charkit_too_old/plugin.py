"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(
        name="too-old", factory="charkit_too_old.backend:TooOldBackend", summary="made for a test"
    )
