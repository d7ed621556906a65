"""The NumPy engine, whose LSTM ends the process as a bug in compiled code does."""

import ctypes
from typing import Any

from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend


class CrashesBackend(NumpyBackend):
    """Can be made, and crashes at the first symbol."""

    name = "crashes"

    def build_lstm(self, model: ModelConfig) -> Any:
        """Returns an LSTM that reads where there is no memory."""

        def crashing(*arguments: Any) -> Any:
            ctypes.string_at(1)

        return crashing
