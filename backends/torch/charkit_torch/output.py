"""The projection of features onto the vocabulary."""

from __future__ import annotations

from charkit.backend import Weights
from charkit_torch.framework import torch


class TorchOutput:
    """``(weights, features (batch, time, unit)) -> logits (batch, time, vocabulary)``.

    In bfloat16 the operands are rounded and the product is not: a rounded logit would move the loss.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, weights: Weights[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        weight, bias = weights["output.weight"], weights["output.bias"]
        rounded = weight.to(self._dtype).to(weight.dtype)
        return torch.nn.functional.linear(features.to(weight.dtype), rounded, bias)
