"""Clipping by the global norm, then AdamW."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from charkit.backend import Moments, Rates, Weights
from charkit.config import OptimizerConfig
from charkit.weights import decays


@dataclass(frozen=True)
class JaxOptimizer:
    """``(weights, moments, gradients, rates) -> weights, moments, global norm before clipping``."""

    config: OptimizerConfig

    def __call__(
        self,
        weights: Weights[jax.Array],
        moments: Moments[jax.Array],
        gradients: Weights[jax.Array],
        rates: Rates[jax.Array],
    ) -> tuple[Weights[jax.Array], Moments[jax.Array], jax.Array]:
        beta1, beta2 = self.config.beta1, self.config.beta2
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients.values()))
        scale = jnp.minimum(1.0, self.config.clip_threshold / norm)
        rate = rates.learning_rate / rates.bias_correction1
        means, squares, after = {}, {}, {}
        for name, weight in weights.items():
            clipped = gradients[name] * scale
            means[name] = beta1 * moments.exp_avg[name] + (1.0 - beta1) * clipped
            squares[name] = beta2 * moments.exp_avg_sq[name] + (1.0 - beta2) * jnp.square(clipped)
            root = jnp.sqrt(squares[name] / rates.bias_correction2)
            change = rate * means[name] / (root + self.config.epsilon)
            if self.config.weight_decay and decays(name):
                change += rates.learning_rate * self.config.weight_decay * weight
            after[name] = weight - change
        return after, Moments(means, squares), norm
