"""The NumPy engine with one thing wrong: does not clip."""

from typing import Any

from charkit.config import OptimizerConfig
from charkit_numpy.backend import NumpyBackend


class UnclippedBackend(NumpyBackend):
    """Leaves gradients as large as they are."""

    name = "unclipped"

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        """Returns Adam without a bound."""
        return super().build_optimizer(optimizer.model_copy(update={"grad_clip": 0.0}))
