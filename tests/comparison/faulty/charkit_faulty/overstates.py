"""The NumPy engine with one thing wrong, by too little to be seen in a single step."""

from typing import Any

import numpy as np

from charkit.backend import Forward
from charkit_numpy.backend import NumpyBackend


class OverstatesBackend(NumpyBackend):
    """Reports training losses that are too high by 1.5e-5 of their size; the bound on a step is 2e-5."""

    name = "overstates"

    def differentiate(self, forward: Forward[Any]) -> Any:
        """Returns the right gradient, with losses a little too high."""
        backward = super().differentiate(forward)

        def overstated(*arguments: Any) -> Any:
            gradients, nats, state = backward(*arguments)
            return gradients, np.asarray(1.000015 * nats, nats.dtype), state

        return overstated
