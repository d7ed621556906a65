"""Registers the backend."""
# ruff: noqa: T201 - printing is what it is for

import os
import sys

from charkit.hookspecs import BackendInfo, hookimpl

print("{} from plugin.py")
print("a warning from plugin.py", file=sys.stderr)
os.write(1, b"{} from the depths of plugin.py\n")


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="prints", factory="charkit_prints.backend:PrintsBackend", summary="made for a test"
    )
