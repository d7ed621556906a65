"""Softmax cross-entropy of each symbol."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class JaxLoss:
    """``(logits (time, batch, vocabulary), targets (batch, time)) -> nats (batch, time)``."""

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        highest = jax.lax.stop_gradient(logits.max(axis=2, keepdims=True))
        shifted = logits - highest
        # A comparison rather than an index: its gradient is no scatter, which XLA runs one row at a time.
        wanted = jnp.arange(logits.shape[2], dtype=targets.dtype) == targets.T[:, :, None]
        at_target = jnp.where(wanted, shifted, 0.0).sum(axis=2)
        return (jnp.log(jnp.exp(shifted).sum(axis=2)) - at_target).T
