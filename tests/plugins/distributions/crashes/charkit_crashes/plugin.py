"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(
        name="crashes", factory="charkit_crashes.backend:CrashesBackend", summary="made for a test"
    )
