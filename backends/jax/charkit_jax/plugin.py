"""Registers the JAX backend; imports charkit only, never jax."""

from __future__ import annotations

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the JAX backend to charkit."""
    return BackendInfo(
        name="jax",
        factory="charkit_jax.backend:JaxBackend",
        summary="whole training steps compiled by XLA, on CPU and CUDA",
        requires="pip install jax",
        verified="charkit 0.1.0, jax 0.10.2, jaxlib 0.10.2",
    )
