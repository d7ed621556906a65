"""A backend's parts as the checks call them: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, Moments, Rates, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.network import Advance, Forward, Predict, quiet
from charkit.testing.returned_values import (
    array_from,
    dictionary_from,
    moments_from,
    scalar_from,
    state_from,
    tuple_from,
)
from charkit.testing.tolerances import require

_LSTM = "lstm.py"
_OUTPUT = "output.py"
_LOSS = "loss.py"
_DIFFERENTIATE = "backend.py: differentiate()"
_OPTIMIZER = "optimizer.py"


class Parts:
    """A backend's parts for one model, composed as CharRNN does, but each only when a check needs it.

    So an author whose optimizer is not written yet can pass the stages before it. The composed functions are the
    core's own, so what a backend compiles of them serves the networks of later stages too.
    """

    def __init__(self, backend: Backend[Any], model: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.backend, self.model = backend, model
        self.weights = self.tensors(weights)
        self._lstm, self._output = backend.build_lstm(model), backend.build_output(model)
        self.predict_compiled = quiet(backend.compile(Predict(self._lstm, self._output)))
        self._advance = quiet(backend.compile(Advance(self._lstm)))
        self._masked = quiet(backend.compile(self._logits))

    def _logits(self, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        returned = self._lstm(weights, symbols, state, masks)
        features, state = tuple_from(returned, ("features", "state"), "the LSTM", _LSTM)
        return self._output(weights, features), state_from(state, _LSTM)

    def predict(
        self, symbols: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[Array, State[Array]]:
        """Logits ``(batch, vocabulary)`` of one symbol each, ``(batch, 1)``, and the new state."""
        logits, after = self.predict_tensors(symbols, self.state(state), masks)
        flat = array_from(self.backend, logits, "logits", _OUTPUT)
        count = len(symbols) * self.model.vocabulary_size
        require(
            flat.size == count,
            expected=f"{count} logits for one time step of a batch of {len(symbols)}",
            got=f"{flat.size}, of shape {flat.shape}",
            look_at=_OUTPUT,
        )
        return flat.reshape(len(symbols), self.model.vocabulary_size), self.state_out(after)

    def predict_tensors(
        self, symbols: Array, state: State[Any], masks: Array | None = None
    ) -> tuple[Any, State[Any]]:
        """Logits and new state as tensors, from a state of tensors."""
        arguments = self.weights, self.backend.tensor(symbols), state
        if masks is not None:
            logits, after = self._masked(*arguments, self._masks(masks))
        else:
            logits, after = self._call(self.predict_compiled, *arguments)
        return logits, state_from(after, _LSTM)

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Calls a function of the core. Raises Mismatch if the LSTM returns what the core can't use."""
        try:
            return function(*arguments)
        except (TypeError, ValueError):
            with_targets = len(arguments) == 5
            self._masked(*arguments[:2], *(arguments[3:] if with_targets else (arguments[2], None)))
            raise

    def advance(self, symbols: Array, state: State[Array], masks: Array | None = None) -> State[Array]:
        """The state after ``(batch, time)`` symbols."""
        return self.state_out(self.advance_tensors(symbols, self.state(state), masks))

    def advance_tensors(self, symbols: Array, state: State[Any], masks: Array | None = None) -> State[Any]:
        """Like ``advance``, with states of tensors."""
        if masks is not None:
            return self.predict_tensors(symbols, state, masks)[1]
        after = self._call(self._advance, self.weights, self.backend.tensor(symbols), state)
        return state_from(after, _LSTM)

    @cached_property
    def forward(self) -> Any:
        """The composed forward pass that the core passes to ``differentiate``."""
        return Forward(self._lstm, self._output, self.backend.build_loss(self.model))

    def nats(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[Array, State[Array]]:
        """The loss of each symbol, nats ``(batch, time)``, and the new state."""
        nats, after = self.nats_tensors(symbols, targets, state, masks)
        return array_from(self.backend, nats, "nats", _LOSS), self.state_out(after)

    def nats_tensors(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[Any, State[Any]]:
        """Like ``nats``, as tensors."""
        nats, after = self._call(
            self._nats, self.weights, *self._batch(symbols, targets), self.state(state), self._masks(masks)
        )
        return nats, state_from(after, _LSTM)

    @cached_property
    def _nats(self) -> Any:
        return quiet(self.backend.compile(self.forward))

    @cached_property
    def backward(self) -> Any:
        """The compiled gradient function, from tensors to tensors."""
        return quiet(self.backend.compile(self.backend.differentiate(self.forward)))

    def gradients(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[dict[str, Array], Array, State[Array]]:
        """The gradient of the mean by weight name, the nats ``(batch, time)``, and the new state."""
        gradients, nats, after = self.gradient_tensors(symbols, targets, state, masks)
        return (
            self.arrays(gradients, "the gradient of "),
            array_from(self.backend, nats, "nats", _DIFFERENTIATE),
            self.state_out(after, _DIFFERENTIATE),
        )

    def gradient_tensors(
        self, symbols: Array, targets: Array, state: State[Array], masks: Array | None = None
    ) -> tuple[dict[str, Any], Any, State[Any]]:
        """Like ``gradients``, as tensors."""
        returned = self._call(
            self.backward, self.weights, *self._batch(symbols, targets), self.state(state), self._masks(masks)
        )
        names = ("gradients", "nats", "state")
        gradients, nats, after = tuple_from(
            returned, names, "the function that differentiate() returns", _DIFFERENTIATE
        )
        return (
            dictionary_from(gradients, self.weights, "the gradients", _DIFFERENTIATE),
            nats,
            state_from(after, _DIFFERENTIATE),
        )

    # ---- between NumPy and the framework ---------------------------------------------------------------

    def tensors(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Arrays by name, copied in."""
        return {name: self.backend.tensor(array) for name, array in arrays.items()}

    def arrays(self, tensors: Mapping[str, Any], prefix: str = "") -> dict[str, Array]:
        """Tensors by name, copied out; findings put ``prefix`` before a name."""
        return {
            name: array_from(self.backend, tensor, prefix + name, _DIFFERENTIATE)
            for name, tensor in tensors.items()
        }

    def state(self, state: State[Array]) -> State[Any]:
        """A state, copied in."""
        return State(self.backend.tensor(state.hidden), self.backend.tensor(state.cell))

    def state_out(self, state: State[Any], look_at: str = _LSTM) -> State[Array]:
        """A state, copied out."""
        return State(
            array_from(self.backend, state.hidden, "the state's hidden array", look_at),
            array_from(self.backend, state.cell, "the state's cell array", look_at),
        )

    def _batch(self, *arrays: Array) -> tuple[Any, ...]:
        return tuple(self.backend.tensor(array) for array in arrays)

    def _masks(self, masks: Array | None) -> Any:
        return None if masks is None else self.backend.tensor(masks)


@dataclass(frozen=True)
class _Update:
    """The optimizer as the core calls it, without the core's checks of what it returns."""

    __name__ = "apply"
    optimizer: Any

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        return self.optimizer(weights, moments, gradients, rates)


def compiled_update(backend: Backend[Any], optimizer: OptimizerConfig) -> Any:
    """A backend's optimizer compiled as the core does it, consuming weights and moments."""
    update = _Update(backend.build_optimizer(optimizer))
    return quiet(backend.compile(update, consumes=("weights", "moments")))


class Updater:
    """A backend's optimizer alone, on given gradients; it holds weights and moments as tensors."""

    def __init__(
        self,
        backend: Backend[Any],
        optimizer: OptimizerConfig,
        weights: Mapping[str, Array],
        moments: Moments[Array] | None = None,
        compiled: Any = None,
    ) -> None:
        self.backend, self.optimizer = backend, optimizer
        zeros = {name: np.zeros(array.shape) for name, array in weights.items()}
        before = moments or Moments(zeros, zeros)
        self.weights = self.tensors(weights)
        self.moments = Moments(self.tensors(before.exp_avg), self.tensors(before.exp_avg_sq))
        self._update = compiled or compiled_update(backend, optimizer)

    def update(self, gradients: Mapping[str, Array], learning_rate: float, step: int) -> float:
        """One update; ``step`` counts from 1. Returns the norm before clipping."""
        return self.update_tensors(self.tensors(gradients), learning_rate, step)

    def update_tensors(self, gradients: dict[str, Any], learning_rate: float, step: int) -> float:
        """Like ``update``, with gradients as tensors."""
        numbers = (learning_rate, 1.0 - self.optimizer.beta1**step, 1.0 - self.optimizer.beta2**step)
        rates = Rates(*(self.backend.tensor(np.asarray(number)) for number in numbers))
        names = set(gradients)  # before the call, which may change the dictionary
        returned = self._update(self.weights, self.moments, gradients, rates)
        parts = tuple_from(returned, ("weights", "moments", "norm"), "the optimizer", _OPTIMIZER)
        weights, moments, norm = parts
        self.weights = dictionary_from(weights, names, "the new weights", _OPTIMIZER)
        self.moments = moments_from(moments, names, _OPTIMIZER)
        return scalar_from(self.backend, norm, "the norm before clipping", _OPTIMIZER)

    def observed(self) -> dict[str, Array]:
        """Weights and moments, copied out, by names such as ``exp_avg.output.bias``."""
        groups = {"": self.weights, "exp_avg.": self.moments.exp_avg, "exp_avg_sq.": self.moments.exp_avg_sq}
        return {
            prefix + name: array
            for prefix, tensors in groups.items()
            for name, array in self.arrays(tensors, prefix).items()
        }

    def arrays(self, tensors: Mapping[str, Any], prefix: str = "") -> dict[str, Array]:
        """Tensors by name, copied out; findings put ``prefix`` before a name."""
        return {
            name: array_from(self.backend, tensor, prefix + name, _OPTIMIZER)
            for name, tensor in tensors.items()
        }

    def tensors(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Arrays by name, copied in."""
        return {name: self.backend.tensor(array) for name, array in arrays.items()}
