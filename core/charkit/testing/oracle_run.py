"""A training run on the oracle, with which whole steps of a backend are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.testing.oracle import Arrays, Ints, Oracle, zero_state


class OracleRun:
    """A training run on the oracle: weights, moments, carried state and step count, as CharRNN keeps them."""

    def __init__(self, oracle: Oracle, weights: Arrays, batch_size: int) -> None:
        self.oracle = oracle
        self.weights = weights
        zeros = {name: np.zeros(array.shape) for name, array in weights.items()}
        self.moments = Moments(zeros, zeros)
        self.state = zero_state(oracle.model, batch_size)
        self.step = 0

    def train_step(
        self, symbols: Ints, targets: Ints, masks: Any = None, learning_rate: float | None = None
    ) -> tuple[float, float]:
        """One update from ``(batch, time)`` symbols; returns loss (nats per symbol) and gradient norm."""
        self.step += 1
        rate = self.oracle.optimizer.learning_rate if learning_rate is None else learning_rate
        gradients, nats, after = self.oracle.step(self.weights, symbols, targets, self.state, masks)
        self.weights, self.moments, norm = self.oracle.update(
            self.weights, self.moments, gradients, rate, self.step
        )
        self.state = after
        return float(nats.mean()), norm
