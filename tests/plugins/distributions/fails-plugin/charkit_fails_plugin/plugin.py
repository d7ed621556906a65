"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl

raise RuntimeError("the abacus\nhas no beads")


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="fails-plugin",
        factory="charkit_fails_plugin.backend:FailsPluginBackend",
        summary="made for a test",
    )
