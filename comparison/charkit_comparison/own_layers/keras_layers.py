"""A character-level LSTM as a Keras user would write it from Keras's documentation, on any of its backends.

``LSTM`` layers over one-hot symbols, stateful, dropout after each, ``Dense``, cross-entropy from logits, Adam
with clipping by the global norm, ``train_on_batch``. Two things depend on Keras's backend. On TensorFlow
``jit_compile`` is off, which is faster there on a CPU than Keras's default. The state goes from batch to batch on
TensorFlow only: on PyTorch a stateful LSTM can't be trained (Keras 3.15 raises), and on JAX training leaves its
state at zero (seen in Keras 3.15: the states are none of the model's variables). Keras's Adam adds epsilon to the
root of the second moment before the correction of its bias, not after it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from charkit.config import ModelConfig, OptimizerConfig
from charkit_comparison.processes.spec import ComparisonSpec

_NOTICES = {
    "jax": (
        "it leaves a stateful LSTM's state at zero during training, so every batch starts from a zero state",
    ),
    "torch": ("it can't train a stateful LSTM, so every batch starts from a zero state",),
}


class KerasLayers:
    """The model and its training step; ``framework`` is ``tensorflow``, ``jax`` or ``torch``. float32 only."""

    def __init__(
        self,
        framework: str,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        weights: Mapping[str, np.ndarray],
        shape: tuple[int, int],
        threads: int,
    ) -> None:
        keras = _keras_on(framework, threads)
        self.versions = {"keras": keras.__version__, framework: _version_of(framework)}
        self.notices = (*_NOTICES.get(framework, ()), *_epsilon_notices(optimizer))
        symbols = keras.Input(batch_shape=shape, dtype="int32")
        one_hot = keras.layers.Lambda(lambda given: keras.ops.one_hot(given, model.vocabulary_size))
        features = one_hot(symbols)
        layers = []
        for _ in range(model.num_layers):
            layers.append(
                keras.layers.LSTM(model.lstm_size, return_sequences=True, stateful=framework != "torch")
            )
            features = keras.layers.Dropout(model.dropout)(layers[-1](features))
        self._keras = keras
        self._carrying = layers if framework == "tensorflow" else []
        output = keras.layers.Dense(model.vocabulary_size)
        self._model = keras.Model(symbols, output(features))
        for index, layer in enumerate(layers):
            layer.set_weights(
                [
                    weights[f"lstm.{index}.weight_ih"].T,
                    weights[f"lstm.{index}.weight_hh"].T,
                    weights[f"lstm.{index}.bias"],
                ]
            )
        output.set_weights([weights["output.weight"].T, weights["output.bias"]])
        self._adam = keras.optimizers.Adam(
            optimizer.learning_rate,
            optimizer.beta1,
            optimizer.beta2,
            optimizer.epsilon,
            global_clipnorm=optimizer.grad_clip or None,
        )
        self._model.compile(
            optimizer=self._adam,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=framework == "jax",
        )
        self._rate = optimizer.learning_rate

    def reset_state(self, streams: np.ndarray | None = None) -> None:
        """Sets the state of the streams to zero, bool ``(batch,)``; None for all of them."""
        for layer in self._carrying:
            if streams is None:
                layer.reset_state()
                continue
            for state in layer.states:
                state.assign(self._keras.ops.where(streams[:, None], 0.0, state))

    def step(self, inputs: np.ndarray, targets: np.ndarray, learning_rate: float) -> float:
        """One update; returns the loss in nats per symbol."""
        if learning_rate != self._rate:
            self._adam.learning_rate = self._rate = learning_rate
        return float(self._model.train_on_batch(inputs, targets))


def _epsilon_notices(optimizer: OptimizerConfig) -> tuple[str, ...]:
    """Keras divides by ``sqrt(v) + epsilon`` and corrects the quotient, so epsilon is divided by the correction too."""
    correction = sqrt(1 - optimizer.beta2)  # at the first step; it tends toward 1
    if correction == 1:
        return ()
    return (
        f"its Adam adds epsilon before the bias correction; in effect, epsilon is {optimizer.epsilon / correction:.2g} "
        f"at the first step and only gradually approaches {optimizer.epsilon:g}",
    )


def _keras_on(framework: str, threads: int) -> Any:
    """Keras on that backend, with so many threads."""
    os.environ["KERAS_BACKEND"] = framework
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if framework == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif framework == "jax":
        os.environ["NPROC"] = str(threads)
    else:
        import torch

        torch.set_num_threads(threads)
    import keras

    return keras


def _version_of(framework: str) -> str:
    from importlib.metadata import version

    return version(framework)


def make(spec: ComparisonSpec, framework: str, threads: int) -> KerasLayers:
    """From a comparison's spec."""
    data = spec.config.data
    shape = (data.batch_size, data.num_steps)
    return KerasLayers(
        framework, spec.config.model, spec.config.optimizer, spec.start.weights, shape, threads
    )
