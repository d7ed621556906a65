"""A network between two steps, as NumPy arrays: what checkpoints and comparisons hold, under one set of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charkit.backend import Array, Moments, State


@dataclass(frozen=True)
class Snapshot:
    """Weights and Adam's moments by canonical name, the carried state ``(layer, batch, unit)``, and the step count."""

    weights: dict[str, Array]
    moments: Moments[Array]
    state: State[Array]
    step: int

    @classmethod
    def untrained(cls, weights: Mapping[str, Array], batch_size: int) -> Snapshot:
        """Creates a snapshot of these weights at step 0; moments and state are zero, in the dtype of the weights."""
        layers = [array for name, array in weights.items() if name.endswith("weight_hh")]
        shape = (len(layers), batch_size, layers[0].shape[1])
        moments = Moments(
            *({name: np.zeros_like(array) for name, array in weights.items()} for _ in range(2))
        )
        state = State(*(np.zeros(shape, layers[0].dtype) for _ in range(2)))
        return cls(dict(weights), moments, state, 0)

    def arrays(self) -> dict[str, Array]:
        """Returns all arrays by unique names: ``output.bias``, ``exp_avg.output.bias``, ``state.hidden``, ``step``.

        They are the snapshot's own, not copies; nothing is raised.
        """
        return {
            **self.weights,
            **moment_arrays(self.moments),
            "state.hidden": self.state.hidden,
            "state.cell": self.state.cell,
            "step": np.asarray(self.step),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Snapshot:
        """The inverse of ``arrays``. Raises KeyError if the state or the step is missing."""
        weights = {name: array for name, array in arrays.items() if name.startswith(("lstm.", "output."))}
        state = State(arrays["state.hidden"], arrays["state.cell"])
        return cls(weights, moments_from(arrays), state, int(arrays["step"]))


def moment_arrays(moments: Moments[Array]) -> dict[str, Array]:
    """Both moments in one dictionary, by names such as ``exp_avg.output.bias``."""
    groups = moments._asdict().items()
    return {f"{moment}.{name}": array for moment, arrays in groups for name, array in arrays.items()}


def moments_from(arrays: Mapping[str, Array]) -> Moments[Array]:
    """The inverse of ``moment_arrays``; arrays of other names are left out."""
    return Moments(with_prefix(arrays, "exp_avg."), with_prefix(arrays, "exp_avg_sq."))


def with_prefix(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names start with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
