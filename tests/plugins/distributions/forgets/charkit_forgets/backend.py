"""The NumPy engine, whose state after a batch is zero."""

from typing import Any

from charkit.backend import State
from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend


class ForgetsBackend(NumpyBackend):
    """Carries nothing from one batch to the next."""

    name = "forgets"

    def build_lstm(self, model: ModelConfig) -> Any:
        """Returns an LSTM that gives out a state of zeros."""
        lstm = super().build_lstm(model)

        def forgetful(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
            features, after = lstm(weights, symbols, state, masks)
            return features, State(after.hidden * 0, after.cell * 0)

        return forgetful
