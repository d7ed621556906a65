"""What NumPy does about floating-point errors is the user's choice, and doesn't reach backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.backend import NumpyBackend


class Underflows(NumpyBackend):
    """A backend whose every part underflows, as a softmax may."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        compiled = super().compile(function, consumes=consumes)

        def underflowing(*arguments: Any) -> Any:
            _ = np.exp(np.full(2, -1e4))
            return compiled(*arguments)

        return underflowing


def _network(backend: NumpyBackend) -> CharRNN:
    model = ModelConfig(vocabulary_size=5, lstm_size=3, num_layers=1)
    return CharRNN.from_config(model, OptimizerConfig(), backend, batch_size=2, num_steps=4)


def test_errors_that_the_user_has_numpy_raise_do_not_reach_backends() -> None:
    network = _network(Underflows(precision="float64", device="cpu", threads=1))
    symbols, state = np.zeros((2, 4), np.int32), network.initial_state(2)
    with np.errstate(all="raise"):
        assert network.train_step(symbols, symbols).loss > 0
        gradients, _, _ = network.gradients(symbols, symbols, state=network.state_arrays(state))
        network.apply_gradients(gradients)
        network.nats(symbols, symbols, state)
        network.predict(symbols[:, :1].copy(), state)
        network.advance(symbols, state)
        with pytest.raises(FloatingPointError):  # the user's own code still has them
            np.exp(np.full(2, -1e4))


def test_moments_too_small_for_float32_can_be_restored_whatever_the_user_has_numpy_raise() -> None:
    network = _network(NumpyBackend(precision="float32", device="cpu", threads=1))
    weights = {name: np.full(array.shape, 1e-60) for name, array in network.weights().items()}
    with np.errstate(all="raise"):
        network.load_weights(weights)
        assert not network.weights()["output.bias"].any()
        with pytest.raises(FloatingPointError):  # which a backend's own conversion would raise
            network.backend.tensor(weights["output.bias"])
