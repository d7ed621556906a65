"""Registers the NumPy backend; imports charkit only."""

from __future__ import annotations

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the NumPy backend to charkit."""
    return BackendInfo(
        name="numpy",
        factory="charkit_numpy.backend:NumpyBackend",
        summary="handwritten backpropagation through time in NumPy; needs no framework",
        verified="charkit 0.1.0, numpy 2.4.6",
    )
