"""Clipping by the global norm, then AdamW."""

from __future__ import annotations

from dataclasses import dataclass

from charkit.backend import Moments, Rates, Weights
from charkit.config import OptimizerConfig
from charkit.weights import decays
from charkit_tensorflow.framework import tf


@dataclass(frozen=True)
class TensorFlowOptimizer:
    """``(weights, moments, gradients, rates) -> weights, moments, global norm before clipping``."""

    config: OptimizerConfig

    def __call__(
        self,
        weights: Weights[tf.Tensor],
        moments: Moments[tf.Tensor],
        gradients: Weights[tf.Tensor],
        rates: Rates[tf.Tensor],
    ) -> tuple[Weights[tf.Tensor], Moments[tf.Tensor], tf.Tensor]:
        beta1, beta2 = self.config.beta1, self.config.beta2
        squares = [2 * tf.nn.l2_loss(gradients[name]) for name in sorted(gradients)]
        norm = tf.sqrt(tf.add_n(squares))
        scale = tf.minimum(tf.constant(1, norm.dtype), self.config.clip_threshold / norm)
        rate = rates.learning_rate / rates.bias_correction1
        updated: Weights[tf.Tensor] = {}
        after: Moments[tf.Tensor] = Moments({}, {})
        for name, weight in weights.items():
            clipped = gradients[name] * scale
            mean = beta1 * moments.exp_avg[name] + (1 - beta1) * clipped
            square = beta2 * moments.exp_avg_sq[name] + (1 - beta2) * tf.square(clipped)
            denominator = tf.sqrt(square / rates.bias_correction2) + self.config.epsilon
            change = rate * mean / denominator
            if self.config.weight_decay and decays(name):
                change += rates.learning_rate * self.config.weight_decay * weight
            updated[name] = weight - change
            after.exp_avg[name], after.exp_avg_sq[name] = mean, square
        return updated, after, norm
