"""Registers the backend."""

import threading

from charkit.hookspecs import BackendInfo, hookimpl

threading.Event().wait()


@hookimpl
def charkit_backend() -> BackendInfo:
    """Returns what there is to know of it."""
    return BackendInfo(name="hangs", factory="charkit_hangs.backend:HangsBackend", summary="made for a test")
