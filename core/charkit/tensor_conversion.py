"""Between NumPy and a framework's tensors: what goes into a network is copied in, what comes out of it is owned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, Backend, Rates, State, Weights, float_dtype
from charkit.config import ModelConfig
from charkit.errors import BackendError
from charkit.weights import weight_shapes


class Converter:
    """Copies the arrays of a model in and out of its backend."""

    def __init__(self, backend: Backend[Any], model: ModelConfig) -> None:
        self._backend, self._model = backend, model
        self._names = list(weight_shapes(model))

    def weights_in(self, arrays: Mapping[str, Array]) -> Weights[Any]:
        """Canonical arrays as tensors, in canonical order."""
        return {name: self._tensor(arrays[name]) for name in self._names}

    def weights_out(self, tensors: Weights[Any]) -> dict[str, Array]:
        """The inverse of ``weights_in``."""
        return {name: self._array_out(tensors[name]) for name in self._names}

    def state_in(self, state: State[Array]) -> State[Any]:
        """A state ``(layer, batch, unit)`` as tensors."""
        return State(self._tensor(state.hidden), self._tensor(state.cell))

    def state_out(self, state: State[Any]) -> State[Array]:
        """The inverse of ``state_in``."""
        return State(self._array_out(state.hidden), self._array_out(state.cell))

    def _tensor(self, array: Array) -> Any:
        """The array as a tensor. float64 numbers may be too small, or too large, for the working precision."""
        with np.errstate(all="ignore"):
            return self._backend.tensor(array)

    def _array_out(self, tensor: Any) -> Array:
        """The tensor as an array. Raises BackendError where the backend returns something else."""
        array: Any = self._backend.numpy(tensor)
        if not isinstance(array, np.ndarray):
            raise BackendError(
                f"backend {self._backend.name!r} is broken: numpy() returned {type(array).__name__}; it must return "
                "a NumPy array"
            )
        return array

    def zero_state(self, batch_size: int) -> State[Array]:
        """A zero state, ``(layer, batch, unit)``, of the type that the backend's states have."""
        shape = (self._model.num_layers, batch_size, self._model.lstm_size)
        dtype = float_dtype(self._backend.precision)
        return State(np.zeros(shape, dtype), np.zeros(shape, dtype))

    def masks_in(self, masks: NDArray[np.bool_] | None) -> Any:
        """Masks ``(layer, batch, time, unit)`` as a tensor, or None."""
        return None if masks is None else self._backend.tensor(masks)

    def rates(self, *numbers: float) -> Rates[Any]:
        """Learning rate and both bias corrections as scalars of the working precision."""
        return Rates(*(self._tensor(np.asarray(number, dtype=np.float64)) for number in numbers))
