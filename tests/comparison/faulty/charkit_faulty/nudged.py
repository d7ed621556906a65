"""The NumPy engine, right within rounding: its gradients are another one's in the last digits."""

from typing import Any

import numpy as np

from charkit.backend import Forward
from charkit_numpy.backend import NumpyBackend


class NudgedBackend(NumpyBackend):
    """Moves every gradient by one rounding unit."""

    name = "nudged"

    def differentiate(self, forward: Forward[Any]) -> Any:
        """Returns the gradient, every element of it the next larger number."""
        backward = super().differentiate(forward)

        def nudged(*arguments: Any) -> Any:
            gradients, nats, state = backward(*arguments)
            return {name: np.nextafter(array, np.inf) for name, array in gradients.items()}, nats, state

        return nudged
