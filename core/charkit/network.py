"""A backend's four parts, composed into the functions that CharRNN calls.

The functions are values: two are equal if they are made of equal parts. So a backend that compiles can look up what it
has compiled for another network, instead of compiling it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from charkit.backend import (
    Array,
    Backend,
    Backward,
    Loss,
    Lstm,
    Moments,
    Optimizer,
    Output,
    Rates,
    State,
    Weights,
)
from charkit.config import ModelConfig, OptimizerConfig
from charkit.one_thread import lock_of


@dataclass(frozen=True)
class Forward:
    """The forward pass with its loss; ``backend.differentiate`` derives the backward pass from it."""

    __name__ = "forward"
    lstm: Lstm[Any]
    output: Output[Any]
    loss: Loss[Any]

    def __call__(
        self, weights: Weights[Any], symbols: Any, targets: Any, state: State[Any], masks: Any
    ) -> tuple[Any, State[Any]]:
        """Returns the nats of each symbol, ``(batch, time)``, and the new state."""
        features, state = self.lstm(weights, symbols, state, masks)
        return self.loss(self.output(weights, features), targets), state


@dataclass(frozen=True)
class Train:
    """A whole training step: gradients, and the update from them."""

    __name__ = "train"

    backward: Backward[Any]
    optimizer: Optimizer[Any]

    def __call__(
        self,
        weights: Weights[Any],
        moments: Moments[Any],
        rates: Rates[Any],
        symbols: Any,
        targets: Any,
        state: State[Any],
        masks: Any,
    ) -> tuple[Weights[Any], Moments[Any], State[Any], Any, Any]:
        """Returns new weights, moments and state, the nats ``(batch, time)``, and the norm before clipping."""
        gradients, nats, state = self.backward(weights, symbols, targets, state, masks)
        weights, moments, norm = self.optimizer(weights, moments, gradients, rates)
        return weights, moments, state, nats, norm


@dataclass(frozen=True)
class Apply:
    """The update from given gradients."""

    __name__ = "apply"

    optimizer: Optimizer[Any]

    def __call__(
        self, weights: Weights[Any], moments: Moments[Any], gradients: Weights[Any], rates: Rates[Any]
    ) -> tuple[Weights[Any], Moments[Any], Any]:
        """Returns new weights and moments, and the norm before clipping."""
        weights, moments, norm = self.optimizer(weights, moments, gradients, rates)
        return weights, moments, norm


@dataclass(frozen=True)
class Predict:
    """The logits of the last layer's output, without dropout."""

    __name__ = "predict"

    lstm: Lstm[Any]
    output: Output[Any]

    def __call__(self, weights: Weights[Any], symbols: Any, state: State[Any]) -> tuple[Any, State[Any]]:
        """Returns the logits, in the backend's own layout, and the new state."""
        features, state = self.lstm(weights, symbols, state, None)
        return self.output(weights, features), state


@dataclass(frozen=True)
class Advance:
    """The state after symbols without predictions."""

    __name__ = "advance"

    lstm: Lstm[Any]

    def __call__(self, weights: Weights[Any], symbols: Any, state: State[Any]) -> State[Any]:
        """Returns the new state."""
        return self.lstm(weights, symbols, state, None)[1]


class Network:
    """The functions of one network, compiled by its backend.

    ``optimizer`` is None for a network that is never updated, which has no ``train`` and ``apply``.
    """

    def __init__(self, backend: Backend[Any], model: ModelConfig, optimizer: OptimizerConfig | None) -> None:
        lstm, output, loss = (
            backend.build_lstm(model),
            backend.build_output(model),
            backend.build_loss(model),
        )
        forward = Forward(lstm, output, loss)
        backward = backend.differentiate(forward)
        self.forward = quiet(backend.compile(forward))
        self.backward = quiet(backend.compile(backward))
        self.predict = backend.compile(
            Predict(lstm, output)
        )  # the caller silences NumPy, once for all that it does
        self.advance = quiet(backend.compile(Advance(lstm)))
        if optimizer is not None:
            update = backend.build_optimizer(optimizer)
            self.train = quiet(backend.compile(Train(backward, update), consumes=("weights", "moments")))
            self.apply = quiet(backend.compile(Apply(update), consumes=("weights", "moments")))


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whatever NumPy does about floating-point errors: a user may have them raised (``np.seterr``).

    A softmax that underflows is right, and what is not finite is reported by the core.
    """

    def call(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return call


class _Numbers:
    """What is not in a framework's tensors."""

    def numpy(self, numbers: Any) -> Array:
        return np.asarray(numbers)


@dataclass(frozen=True)
class StepResult:
    """The result of one training step. Values are copied out of the framework only when they are read."""

    step: int
    _backend: Backend[Any] | _Numbers = field(repr=False)
    _nats: Any = field(repr=False)
    _norm: Any = field(repr=False)

    @classmethod
    def of_numbers(cls, step: int, nats: Array, gradient_norm: float) -> StepResult:
        """Creates the result of a step from numbers already copied out of the framework; nats are ``(batch, time)``."""
        return cls(step, _Numbers(), nats, gradient_norm)

    @cached_property
    def nats(self) -> Array:
        """The loss of each symbol before the update, in nats, ``(batch, time)``."""
        with lock_of(self._backend):
            return self._backend.numpy(self._nats)

    @cached_property
    def loss(self) -> float:
        """Mean loss of the batch before the update, in nats per symbol, added in float64."""
        return float(np.mean(self.nats, dtype=np.float64))

    @cached_property
    def gradient_norm(self) -> float:
        """Global norm of the gradient before clipping."""
        with lock_of(self._backend):
            return float(self._backend.numpy(self._norm))
