"""Registers the PyTorch backend; imports charkit only, never torch."""

from __future__ import annotations

from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    """Describes the PyTorch backend to charkit."""
    return BackendInfo(
        name="torch",
        factory="charkit_torch.backend:TorchBackend",
        summary="the fused LSTM kernel of PyTorch, on CPU and CUDA",
        requires="pip install torch",
        verified="charkit 0.1.0, torch 2.13.0+cpu",
    )
