"""The NumPy engine with one thing wrong: its weights stop being numbers."""

from typing import Any

import numpy as np

from charkit_faulty.at_step import AtStepBackend


class ExplodesBackend(AtStepBackend):
    """Has no numbers left at step 5."""

    name = "explodes"

    def act(self, arguments: list[Any]) -> None:
        """Puts what is no number in the weights' place."""
        arguments[0] = {name: np.full_like(array, np.nan) for name, array in arguments[0].items()}
