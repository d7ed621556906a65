"""Registers the backend."""

import os
import threading
from pathlib import Path

from charkit.hookspecs import BackendInfo, hookimpl

if "HANGS_SINCE" in os.environ:
    Path(os.environ["HANGS_SINCE"]).touch()
threading.Event().wait()


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(name="hangs", factory="charkit_hangs.backend:HangsBackend", summary="made for a test")
