"""The projection of features onto the vocabulary."""

from __future__ import annotations

import torch

from charkit.backend import Weights


class TorchOutput:
    """``(weights, features (batch, time, unit)) -> logits (batch, time, vocabulary)``."""

    def __call__(self, weights: Weights[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(features, weights["output.weight"], weights["output.bias"])
