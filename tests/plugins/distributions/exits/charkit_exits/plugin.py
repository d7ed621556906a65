"""Registers the backend."""

import os

from charkit.hookspecs import BackendInfo, hookimpl

os.write(2, b"out of beads\n")
os._exit(9)


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(name="exits", factory="charkit_exits.backend:ExitsBackend", summary="made for a test")
