"""The projection of features onto the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from charkit.backend import Weights
from charkit_jax.matrix_product import PLAIN, product


@dataclass(frozen=True)
class JaxOutput:
    """``(weights, features (time, batch, unit)) -> logits (time, batch, vocabulary)``."""

    operands: np.dtype[Any]

    def __call__(self, weights: Weights[jax.Array], features: jax.Array) -> jax.Array:
        rows = features.reshape(-1, features.shape[2])
        logits = product(self.operands, PLAIN, rows, weights["output.weight"].T) + weights["output.bias"]
        return logits.reshape(*features.shape[:2], -1)
