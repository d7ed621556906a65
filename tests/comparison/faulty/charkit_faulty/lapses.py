"""The NumPy engine with one thing wrong: drops the state once."""

from typing import Any

import numpy as np

from charkit.backend import State
from charkit_faulty.at_step import AtStepBackend


class LapsesBackend(AtStepBackend):
    """Starts step 30 from zero."""

    name = "lapses"
    step = 30

    def act(self, arguments: list[Any]) -> None:
        """Puts zeros in the state's place."""
        state = arguments[5]
        arguments[5] = State(np.zeros_like(state.hidden), np.zeros_like(state.cell))
