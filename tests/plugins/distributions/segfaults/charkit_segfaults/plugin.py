"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="segfaults", factory="charkit_segfaults.backend:SegfaultsBackend", summary="made for a test"
    )
