"""Registers the TensorFlow backend; imports charkit only, never tensorflow."""

from __future__ import annotations

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the TensorFlow backend to charkit."""
    return BackendInfo(
        name="tensorflow",
        factory="charkit_tensorflow.backend:TensorFlowBackend",
        summary="a time loop with a custom gradient in TensorFlow graphs, on CPU and CUDA",
        requires="pip install tensorflow",
        verified="charkit 0.1.0, tensorflow 2.21.0",
    )
