"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(
        name="clips_each", factory="charkit_clips_each.backend:ClipsEachBackend", summary="made for a test"
    )
