"""The gradient of the mean loss, by TensorFlow's own differentiation."""

from __future__ import annotations

from dataclasses import dataclass

from charkit.backend import Forward, State, Weights
from charkit_tensorflow.framework import tf


@dataclass(frozen=True)
class TensorFlowBackward:
    """``(weights, symbols, targets, state, masks) -> gradients, nats (batch, time), state``."""

    forward: Forward[tf.Tensor]

    def __call__(
        self,
        weights: Weights[tf.Tensor],
        symbols: tf.Tensor,
        targets: tf.Tensor,
        state: State[tf.Tensor],
        masks: tf.Tensor | None,
    ) -> tuple[Weights[tf.Tensor], tf.Tensor, State[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            nats, after = self.forward(weights, symbols, targets, state, masks)
            loss = tf.reduce_mean(nats)
        return tape.gradient(loss, weights), nats, after
