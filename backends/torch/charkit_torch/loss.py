"""Softmax cross-entropy of each symbol."""

from __future__ import annotations

from charkit_torch.framework import torch


class TorchLoss:
    """``(logits (batch, time, vocabulary), targets (batch, time)) -> nats (batch, time)``."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nats = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten().long(), reduction="none"
        )
        return nats.reshape(targets.shape)
