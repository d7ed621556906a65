"""Registers the backend."""

import os
import signal

from charkit.hookspecs import BackendInfo, hookimpl

os.kill(os.getpid(), signal.SIGKILL)


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="killed", factory="charkit_killed.backend:KilledBackend", summary="made for a test"
    )
