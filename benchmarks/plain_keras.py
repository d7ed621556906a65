"""The peer: a character-level LSTM as a Keras user would write it from Keras's documentation.

Stateful ``LSTM`` layers over one-hot symbols, dropout after each, ``Dense``, cross-entropy from logits, Adam
with clipping by the global norm, ``train_on_batch``. On TensorFlow ``jit_compile`` is off, which is faster
there on a CPU than Keras's default; on JAX it is on, without which Keras's JAX trainer doesn't compile.
"""

from __future__ import annotations

import os

import numpy as np


class PlainKeras:
    """The model and its training step; ``framework`` is ``tensorflow`` or ``jax``. float32 only."""

    def __init__(
        self,
        framework: str,
        vocabulary_size: int,
        lstm_size: int,
        num_layers: int,
        dropout: float,
        shape: tuple[int, int],
        threads: int,
    ) -> None:
        os.environ["KERAS_BACKEND"] = framework
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if framework == "tensorflow":
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        else:
            os.environ["NPROC"] = str(threads)
        import keras

        symbols = keras.Input(batch_shape=shape, dtype="int32")
        features = keras.layers.Lambda(lambda given: keras.ops.one_hot(given, vocabulary_size))(symbols)
        for _ in range(num_layers):
            features = keras.layers.LSTM(lstm_size, return_sequences=True, stateful=True)(features)
            features = keras.layers.Dropout(dropout)(features)
        self._model = keras.Model(symbols, keras.layers.Dense(vocabulary_size)(features))
        self._model.compile(
            optimizer=keras.optimizers.Adam(0.001, global_clipnorm=5.0),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=framework == "jax",
        )

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One update; returns the loss in nats per symbol."""
        return float(self._model.train_on_batch(inputs, targets))
