"""The plainest JAX loop: the same LSTM as ``lax.scan`` over one-hot symbols, with JAX's own gradient and Adam.

Weights ``(inputs, 4 * units)`` and gates in the order i, f, g, o; clipping by the global norm; the state is
carried from batch to batch. No dropout.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class PlainJax:
    """The model and its training step, compiled, with the memory of weights and moments given back."""

    def __init__(
        self, vocabulary_size: int, lstm_size: int, num_layers: int, batch_size: int, threads: int
    ) -> None:
        os.environ["NPROC"] = str(threads)
        import jax
        import jax.numpy as jnp

        def run_layer(layer: Any, inputs: Any, state: Any) -> Any:
            def advance(carry: Any, given: Any) -> Any:
                hidden, cell = carry
                gates = given @ layer["input"] + hidden @ layer["hidden"] + layer["bias"]
                i, f, g, o = jnp.split(gates, 4, axis=-1)
                cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
                hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
                return (hidden, cell), hidden

            return jax.lax.scan(advance, state, inputs)

        def loss_of(weights: Any, symbols: Any, targets: Any, states: Any) -> Any:
            features = jax.nn.one_hot(symbols.T, vocabulary_size)  # (time, batch, vocabulary)
            after = []
            for layer, state in zip(weights["layers"], states, strict=True):
                state, features = run_layer(layer, features, state)  # noqa: PLW2901
                after.append(state)
            logits = features @ weights["output"] + weights["output_bias"]
            picked = jnp.take_along_axis(jax.nn.log_softmax(logits), targets.T[..., None], axis=-1)
            return -picked.mean(), after

        def step(weights: Any, moments: Any, count: Any, symbols: Any, targets: Any, states: Any) -> Any:
            (loss, states), gradients = jax.value_and_grad(loss_of, has_aux=True)(
                weights, symbols, targets, states
            )
            leaves = jax.tree.leaves(gradients)
            norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in leaves))
            gradients = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, 5.0 / norm), gradients)
            mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradients)
            square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradients)
            rate = 0.001 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, mean, square)
            return weights, (mean, square), states, loss

        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._weights = _random_weights(vocabulary_size, lstm_size, num_layers)
        self._moments = tuple(jax.tree.map(jnp.zeros_like, self._weights) for _ in range(2))
        zero = jnp.zeros((batch_size, lstm_size))
        self._states = [(zero, zero) for _ in range(num_layers)]
        self._count = 0

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One update; returns the loss in nats per symbol."""
        self._count += 1
        self._weights, self._moments, self._states, loss = self._step(
            self._weights, self._moments, float(self._count), inputs, targets, self._states
        )
        return float(loss)


def _random_weights(vocabulary_size: int, lstm_size: int, num_layers: int) -> Any:
    import jax.numpy as jnp

    draw = np.random.default_rng(0)

    def some(*shape: int) -> Any:
        return jnp.asarray(draw.uniform(-0.1, 0.1, shape), jnp.float32)

    sizes = [vocabulary_size] + [lstm_size] * (num_layers - 1)
    return {
        "layers": [
            {
                "input": some(size, 4 * lstm_size),
                "hidden": some(lstm_size, 4 * lstm_size),
                "bias": some(4 * lstm_size),
            }
            for size in sizes
        ],
        "output": some(lstm_size, vocabulary_size),
        "output_bias": some(vocabulary_size),
    }
