"""Registers the backend."""

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the backend to charkit."""
    return BackendInfo(
        name="fails-factory",
        factory="charkit_fails_factory.backend:FailsFactoryBackend",
        summary="made for a test",
    )
