"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="forgets", factory="charkit_forgets.backend:ForgetsBackend", summary="made for a test"
    )
