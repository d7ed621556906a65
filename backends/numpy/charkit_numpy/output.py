"""The projection of features onto the vocabulary."""

from __future__ import annotations

import numpy as np

from charkit.backend import Weights
from charkit.config import ModelConfig
from charkit_numpy.tape import Array, Tape, active_tape


class NumpyOutput:
    """``(weights, features (time, batch, unit)) -> logits (time, batch, vocabulary)``."""

    def __init__(self, model: ModelConfig) -> None:
        self._vocabulary_size = model.vocabulary_size

    def __call__(self, weights: Weights[Array], features: Array) -> Array:
        tape = active_tape()
        rows = features.reshape(-1, features.shape[-1])
        # In memory of its own: the other half of a batch may follow before this one is read.
        logits: Array = np.matmul(rows, weights["output.weight"].T)
        logits += weights["output.bias"]
        if tape is not None:
            tape.push(lambda gradient: _backward(tape, weights["output.weight"], features, gradient))
        return logits.reshape(*features.shape[:2], self._vocabulary_size)


def _backward(tape: Tape, weight: Array, features: Array, gradient: Array) -> Array:
    """The gradient of the features; those of weight and bias go to the tape."""
    rows = features.reshape(-1, features.shape[-1])
    grown = gradient.reshape(len(rows), -1)
    tape.gradients["output.weight"] = np.matmul(
        grown.T, rows, out=tape.array("gradient.output.weight", weight.shape, weight.dtype)
    )
    tape.gradients["output.bias"] = np.dot(np.ones(len(rows), rows.dtype), grown)
    into_features = tape.array("into_features", features.shape, features.dtype)
    np.matmul(grown, weight, out=into_features.reshape(rows.shape))
    return into_features
