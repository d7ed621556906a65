"""A character-level LSTM as a Flax user would write it from the documentation of Flax and Optax.

``nn.RNN`` over ``nn.OptimizedLSTMCell``, dropout after each layer, ``nn.Dense``, Optax's cross-entropy, clipping by
the global norm and Adam, one jitted step, and the carry taken from batch to batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from charkit.config import ModelConfig, OptimizerConfig
from charkit_comparison.processes.spec import ComparisonSpec


class FlaxLayers:
    """The model and its training step. float32 only."""

    def __init__(
        self,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        weights: Mapping[str, np.ndarray],
        batch_size: int,
        threads: int,
    ) -> None:
        os.environ["NPROC"] = str(threads)
        import flax
        import jax
        import jax.numpy as jnp
        import optax

        self.notices = ()
        self.versions = {"flax": flax.__version__, "jax": jax.__version__, "optax": optax.__version__}

        network = _make_network(model)
        chain = [optax.clip_by_global_norm(optimizer.grad_clip)] if optimizer.grad_clip else []
        adam = optax.inject_hyperparams(optax.adam)(
            learning_rate=optimizer.learning_rate,
            b1=optimizer.beta1,
            b2=optimizer.beta2,
            eps=optimizer.epsilon,
        )
        clip = optax.chain(*chain)

        def loss_of(parameters: Any, symbols: Any, targets: Any, carries: Any, key: Any) -> Any:
            logits, carries = network.apply(parameters, symbols, carries, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), carries

        def step(parameters: Any, states: Any, symbols: Any, targets: Any, carries: Any, key: Any) -> Any:
            (loss, carries), gradients = jax.value_and_grad(loss_of, has_aux=True)(
                parameters, symbols, targets, carries, key
            )
            gradients, clip_state = clip.update(gradients, states[0])
            updates, adam_state = adam.update(gradients, states[1])
            return optax.apply_updates(parameters, updates), (clip_state, adam_state), carries, loss

        self._step = jax.jit(step, donate_argnums=(0, 1))
        zero = jnp.zeros((batch_size, model.lstm_size))
        self._zeros = [(zero, zero) for _ in range(model.num_layers)]
        self._carries = self._zeros
        self._parameters = jax.tree.map(jnp.asarray, {"params": _named(weights, model.num_layers)})
        self._states = (clip.init(self._parameters), adam.init(self._parameters))
        self._key = jax.random.key(0)
        self._fold = jax.random.fold_in
        self._count = 0

    def reset_state(self, streams: np.ndarray | None = None) -> None:
        """Sets the carries of the streams to zero, bool ``(batch,)``; None for all of them."""
        import jax
        import jax.numpy as jnp

        if streams is None:
            self._carries = self._zeros
        else:
            reset = streams[:, None]
            self._carries = jax.tree.map(lambda carry: jnp.where(reset, 0.0, carry), self._carries)

    def step(self, inputs: np.ndarray, targets: np.ndarray, learning_rate: float) -> float:
        """One update; returns the loss in nats per symbol."""
        self._count += 1
        self._states[1].hyperparams["learning_rate"] = np.float32(learning_rate)
        self._parameters, self._states, self._carries, loss = self._step(
            self._parameters,
            self._states,
            inputs,
            targets,
            self._carries,
            self._fold(self._key, self._count),
        )
        return float(loss)


def _make_network(model: ModelConfig) -> Any:
    """The network, one-hot symbols and a carry for each layer to logits and the carries after."""
    import jax
    from flax import linen as nn

    class CharLstm(nn.Module):
        """One-hot symbols ``(batch, time)`` and a carry per layer to logits and the carries after."""

        @nn.compact
        def __call__(self, symbols: Any, carries: Any) -> Any:
            features = jax.nn.one_hot(symbols, model.vocabulary_size)
            after = []
            for index, carry in enumerate(carries):
                layer = nn.RNN(nn.OptimizedLSTMCell(model.lstm_size, name=f"cell_{index}"), return_carry=True)
                carry, features = layer(features, initial_carry=carry)  # noqa: PLW2901 - each layer takes the last one's output
                after.append(carry)
                features = nn.Dropout(model.dropout, deterministic=model.dropout == 0)(features)
            return nn.Dense(model.vocabulary_size, name="output")(features), after

    return CharLstm()


def _named(weights: Mapping[str, np.ndarray], num_layers: int) -> dict[str, Any]:
    """Canonical weights by Flax's names: a kernel per gate and side, the bias on the hidden side."""
    named: dict[str, Any] = {
        "output": {
            "kernel": weights["output.weight"].T.astype(np.float32),
            "bias": weights["output.bias"].astype(np.float32),
        }
    }
    for index in range(num_layers):
        cell: dict[str, Any] = {}
        inputs, hidden, bias = (
            np.split(weights[f"lstm.{index}.{part}"].astype(np.float32), 4)
            for part in ("weight_ih", "weight_hh", "bias")
        )
        for position, gate in enumerate("ifgo"):
            cell[f"i{gate}"] = {"kernel": inputs[position].T}
            cell[f"h{gate}"] = {"kernel": hidden[position].T, "bias": bias[position]}
        named[f"cell_{index}"] = cell
    return named


def make(spec: ComparisonSpec, framework: str, threads: int) -> FlaxLayers:
    """From a comparison's spec."""
    config = spec.config
    return FlaxLayers(config.model, config.optimizer, spec.start.weights, config.data.batch_size, threads)
