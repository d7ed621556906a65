"""Sampling one symbol at a time with a framework's own layers, as its documentation does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from benchmarks.cases import Size

#: Draws so many characters.
Draw = Callable[[int], None]


def torch_steps(vocabulary_size: int, size: Size, threads: int) -> Draw:
    """``torch.nn.LSTM`` with its state passed along, and ``torch.multinomial``."""
    import torch

    from charkit_comparison.own_layers.plain_torch import CharLstm

    torch.set_num_threads(threads)
    network = CharLstm(vocabulary_size, size.lstm_size, size.num_layers, 0.0).eval()

    @torch.inference_mode()
    def draw(characters: int) -> None:
        symbol, state = torch.zeros((1, 1), dtype=torch.long), None
        for _ in range(characters):
            logits, state = network(symbol, state)
            symbol = torch.multinomial(torch.softmax(logits[0, -1], dim=-1), 1)[None]

    return draw


def tensorflow_steps(vocabulary_size: int, size: Size, threads: int) -> Draw:
    """Keras layers in one ``tf.function``, called for each symbol, as in TensorFlow's tutorial on text generation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    layers = [
        tf.keras.layers.LSTM(size.lstm_size, return_sequences=True, return_state=True)
        for _ in range(size.num_layers)
    ]
    output = tf.keras.layers.Dense(vocabulary_size)
    zeros = [[tf.zeros((1, size.lstm_size))] * 2 for _ in layers]

    @tf.function
    def step(symbol: Any, states: Any) -> Any:
        features, after = tf.one_hot(symbol, vocabulary_size)[None], []
        for layer, state in zip(layers, states, strict=True):
            features, *state_after = layer(features, initial_state=state)
            after.append(state_after)
        return tf.random.categorical(output(features)[:, -1], 1)[0], after

    def draw(characters: int) -> None:
        symbol, states = tf.zeros((1,), tf.int64), zeros
        for _ in range(characters):
            symbol, states = step(symbol, states)
            symbol.numpy()

    return draw


def jax_steps(vocabulary_size: int, size: Size, threads: int) -> Draw:
    """Flax's LSTM cells in one jitted function, called for each symbol, and ``jax.random.categorical``."""
    os.environ["NPROC"] = str(threads)  # which XLA reads once, when JAX is imported
    import jax
    import jax.numpy as jnp
    from flax import linen

    cells = [linen.OptimizedLSTMCell(size.lstm_size) for _ in range(size.num_layers)]
    output = linen.Dense(vocabulary_size)
    keys = jax.random.split(jax.random.key(0), size.num_layers + 1)
    widths = [vocabulary_size, *[size.lstm_size] * size.num_layers]
    carries = [
        cell.initialize_carry(keys[0], (1, width)) for cell, width in zip(cells, widths[:-1], strict=True)
    ]
    weights = [
        cell.init(key, carry, jnp.zeros((1, width)))
        for cell, key, carry, width in zip(cells, keys[:-1], carries, widths[:-1], strict=True)
    ]
    output_weights = output.init(keys[-1], jnp.zeros((1, size.lstm_size)))

    @jax.jit
    def step(symbol: Any, carries: Any, key: Any) -> Any:
        key, drawn = jax.random.split(key)
        features, after = jax.nn.one_hot(symbol, vocabulary_size), []
        for cell, weight, carry in zip(cells, weights, carries, strict=True):
            carry_after, features = cell.apply(weight, carry, features)
            after.append(carry_after)
        return jax.random.categorical(drawn, output.apply(output_weights, features)), after, key

    def draw(characters: int) -> None:
        symbol, state, key = jnp.zeros((1,), jnp.int32), carries, jax.random.key(1)
        for _ in range(characters):
            symbol, state, key = step(symbol, state, key)
            int(symbol[0])

    return draw


STEP_LOOPS = {"plain torch": torch_steps, "keras tensorflow": tensorflow_steps, "flax jax": jax_steps}
