"""The gradient of the mean loss, by JAX's own differentiation."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from charkit.backend import Forward, State, Weights


@dataclass(frozen=True)
class JaxBackward:
    """``(weights, symbols, targets, state, masks) -> gradients, nats (batch, time), state``."""

    forward: Forward[jax.Array]

    def __call__(
        self,
        weights: Weights[jax.Array],
        symbols: jax.Array,
        targets: jax.Array,
        state: State[jax.Array],
        masks: jax.Array | None,
    ) -> tuple[Weights[jax.Array], jax.Array, State[jax.Array]]:
        def mean(weights: Weights[jax.Array]) -> tuple[jax.Array, tuple[jax.Array, State[jax.Array]]]:
            nats, after = self.forward(weights, symbols, targets, state, masks)
            return nats.mean(), (nats, after)

        gradients, (nats, after) = jax.grad(mean, has_aux=True)(weights)
        return gradients, nats, after
