"""The state of a network between two steps, in the framework's tensors: copied in and out as NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, Backend, Moments, State, Weights
from charkit.config import ModelConfig
from charkit.input_checks import InputChecker
from charkit.object_hints import WithHints, WithoutPickling, by_name
from charkit.one_thread import lock_of, one_thread_at_a_time
from charkit.snapshot import Snapshot
from charkit.tensor_conversion import Converter
from charkit.weights import weight_shapes


class NetworkState(WithHints, WithoutPickling):
    """Weights and Adam's moments by canonical name, the carried state, and the step count. The base class of CharRNN. A
    subclass sets the attributes. Methods raise InputError for arrays and numbers that don't fit the model; one that
    fails, also with MemoryError, changes nothing.
    """

    _HINTS: ClassVar = by_name(
        {
            "call train_step(inputs, targets) for one step, or charkit.train(...) for a run": "fit train "
            "train_on_batch",
            "call nats(inputs, targets, state), with a state from initial_state()": "evaluate score loss forward",
            "call predict(symbols, state), with a state from initial_state()": "logits",
            "call sample(...)": "generate",
            "call weights()": "state_dict parameters named_parameters get_weights",
            "call load_weights(...)": "load_state_dict set_weights",
        }
    )
    _INSTEAD: ClassVar = "write it with save(path) and read it with CharRNN.load(path)"

    config: ModelConfig
    backend: Backend[Any]
    batch_size: int
    #: The number of training steps that were taken.
    step: int
    _check: InputChecker
    _convert: Converter
    _weights: Weights[Any]
    _moments: Moments[Any]
    _state: State[Any]

    @one_thread_at_a_time
    def snapshot(self) -> Snapshot:
        """Weights, moments, carried state and step count, copied out."""
        return Snapshot(self.weights(), self.moments(), self.state(), self.step)

    @one_thread_at_a_time
    def restore(self, snapshot: Snapshot) -> None:
        """Restores a ``snapshot`` of this network, or of another with the same shape and batch size."""
        self._check.snapshot(snapshot, self.batch_size)
        weights, moments = self._convert.weights_in(snapshot.weights), self._moments_in(*snapshot.moments)
        state, step = self._convert.state_in(snapshot.state), self._check.step(snapshot.step)
        self._weights, self._moments, self._state, self.step = weights, moments, state, step

    @one_thread_at_a_time
    def weights(self) -> dict[str, Array]:
        """The canonical weights, copied out."""
        return self._convert.weights_out(self._weights)

    @one_thread_at_a_time
    def replace_weights(self, weights: Mapping[str, Array]) -> None:
        """Replaces the weights by canonical weights, finite or not, keeping the moments and the step count."""
        self._check.weights(weights, "weights")
        self._weights = self._convert.weights_in(weights)

    @contextmanager
    def keeping_weights(self) -> Iterator[None]:
        """Restores the network's current weights on exit, bit for bit, even after an exception.

        No training step may be taken in this context: it may reuse the memory of the weights. Other threads wait.
        """
        with lock_of(self.backend):  # of other threads, which would use and restore the weights in between
            before = self._weights
            try:
                yield
            finally:
                self._weights = before

    @one_thread_at_a_time
    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Loads canonical weights, which must be finite, and resets the moments and the step count."""
        self._check.weights(weights, "weights", finite=True)
        zeros = {name: np.zeros(shape) for name, shape in weight_shapes(self.config).items()}
        self._weights, self._moments = self._convert.weights_in(weights), self._moments_in(zeros, zeros)
        self.step = 0

    @one_thread_at_a_time
    def moments(self) -> Moments[Array]:
        """Adam's running means by canonical weight name, copied out."""
        return Moments(*(self._convert.weights_out(tensors) for tensors in self._moments))

    @one_thread_at_a_time
    def load_moments(
        self, exp_avg: Mapping[str, Array], exp_avg_sq: Mapping[str, Array], *, step: int
    ) -> None:
        """Loads Adam's running means, which must be finite, and the number of steps that they are based on."""
        self._check.weights(exp_avg, "exp_avg", finite=True)
        self._check.weights(exp_avg_sq, "exp_avg_sq", finite=True)
        step = self._check.step(step)
        self._moments, self.step = self._moments_in(exp_avg, exp_avg_sq), step

    @one_thread_at_a_time
    def state(self) -> State[Array]:
        """The carried state, copied out: each array ``(layer, batch, unit)``."""
        return self._convert.state_out(self._state)

    @one_thread_at_a_time
    def load_state(self, state: State[Array]) -> None:
        """Loads a state, each array ``(layer, batch, unit)``, to carry into the next training step."""
        self._check.state(state, self.batch_size)
        self._state = self._convert.state_in(state)

    @one_thread_at_a_time
    def reset_state(self, streams: NDArray[np.bool_] | None = None) -> None:
        """Resets the carried state to zero, as at the start of an epoch.

        ``streams``, bool ``(batch,)``, selects the sequences; None means all. Raises InputError.
        """
        if streams is None:
            self._state = self._convert.state_in(self._convert.zero_state(self.batch_size))
            return
        self._check.reset(streams, self.batch_size)
        if not streams.any():
            return
        state = self.state()
        for array in state:  # (layer, batch, unit)
            array[:, streams] = 0
        self._state = self._convert.state_in(state)

    def _moments_in(self, exp_avg: Mapping[str, Array], exp_avg_sq: Mapping[str, Array]) -> Moments[Any]:
        return Moments(self._convert.weights_in(exp_avg), self._convert.weights_in(exp_avg_sq))
