"""The NumPy engine with one thing wrong: reads the gates in another order."""

from typing import Any

import numpy as np

from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend


class MisgatedBackend(NumpyBackend):
    """Reads the gates as i, g, f, o."""

    name = "misgated"

    def build_lstm(self, model: ModelConfig) -> Any:
        """Returns an LSTM on rearranged weights."""
        lstm = super().build_lstm(model)

        def rearranged(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
            moved = {
                name: _moved(array) if name.startswith("lstm.") else array for name, array in weights.items()
            }
            return lstm(moved, symbols, state, masks)

        return rearranged


def _moved(array: Any) -> Any:
    i, f, g, o = np.split(array, 4)
    return np.concatenate([i, g, f, o])
