"""Clipping by the global norm, then AdamW, in place on lists of tensors."""

from __future__ import annotations

from charkit.backend import Moments, Rates, Weights
from charkit.config import OptimizerConfig
from charkit.weights import decays
from charkit_torch.framework import torch


class TorchOptimizer:
    """``(weights, moments, gradients, rates) -> weights, moments, global norm before clipping``."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        self._config = optimizer

    def __call__(
        self,
        weights: Weights[torch.Tensor],
        moments: Moments[torch.Tensor],
        gradients: Weights[torch.Tensor],
        rates: Rates[torch.Tensor],
    ) -> tuple[Weights[torch.Tensor], Moments[torch.Tensor], torch.Tensor]:
        names = list(weights)
        weight, gradient = [weights[name] for name in names], [gradients[name] for name in names]
        mean = [moments.exp_avg[name] for name in names]
        square = [moments.exp_avg_sq[name] for name in names]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradient)))
        scale = torch.clamp(self._config.clip_threshold / norm, max=1.0)
        clipped = torch._foreach_mul(gradient, scale)
        self._reserve_memory(weight)
        torch._foreach_lerp_(mean, clipped, 1.0 - self._config.beta1)
        torch._foreach_mul_(square, self._config.beta2)
        torch._foreach_addcmul_(square, clipped, clipped, 1.0 - self._config.beta2)
        denominator = torch._foreach_div(square, rates.bias_correction2)
        torch._foreach_sqrt_(denominator)
        torch._foreach_add_(denominator, self._config.epsilon)
        update = torch._foreach_div(mean, denominator)
        torch._foreach_mul_(update, rates.learning_rate / rates.bias_correction1)
        if self._config.weight_decay:
            decaying = [index for index, name in enumerate(names) if decays(name)]
            decay = torch._foreach_mul(
                [weight[index] for index in decaying], rates.learning_rate * self._config.weight_decay
            )
            torch._foreach_add_([update[index] for index in decaying], decay)
        torch._foreach_sub_(weight, update)
        return dict(weights), moments, norm

    def _reserve_memory(self, weight: list[torch.Tensor]) -> None:
        """Allocates and frees what the rest of the update needs, which then gets the same blocks of the allocator.

        If memory runs out here, nothing has been written yet.
        """
        arrays = 3 if self._config.weight_decay else 2  # the denominator, the update, and the decay
        reserved = [torch.empty_like(one) for one in weight * arrays]
        del reserved
