"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="crashes", factory="charkit_crashes.backend:CrashesBackend", summary="made for a test"
    )
