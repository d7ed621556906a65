"""The NumPy engine with one thing wrong: it clips each gradient by its own norm, not all by the global one."""

from typing import Any

import numpy as np

from charkit.config import OptimizerConfig
from charkit_numpy.backend import NumpyBackend


class ClipsEachBackend(NumpyBackend):
    """Holds every array to the bound by itself."""

    name = "clips_each"

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        """Returns Adam after the wrong clipping; the norm that it tells is the right one."""
        adam = super().build_optimizer(optimizer.model_copy(update={"grad_clip": 0.0}))

        def update(weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
            norms = {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}
            clipped = {
                name: gradient * np.float32(min(1.0, optimizer.grad_clip / norms[name]))
                for name, gradient in gradients.items()
            }
            after, moved, _ = adam(weights, moments, clipped, rates)
            return after, moved, np.float32(np.linalg.norm(list(norms.values())))

        return update
