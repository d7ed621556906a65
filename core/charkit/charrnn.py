"""CharRNN: composes a backend's four parts into step, evaluation and prediction, once for all frameworks.

It owns the weights, Adam's moments, the step count and the carried state. What goes in and comes out is
NumPy; what lies between belongs to the framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.backend import Array, Backend, Moments, Rates, State, Weights, float_dtype
from charkit.capabilities import required
from charkit.config import ModelConfig, OptimizerConfig, build
from charkit.errors import ConfigurationError, RunError
from charkit.randomness import dropout_masks
from charkit.weights import initial_weights, mismatch, weight_shapes


@dataclass(frozen=True)
class StepResult:
    """One training step's outcome. Nothing is copied out of the framework until it is asked for."""

    step: int
    _backend: Backend[Any]
    _nats: Any
    _norm: Any

    @cached_property
    def nats(self) -> Array:
        """The loss of each symbol before the update, in nats, ``(batch, time)``."""
        return self._backend.numpy(self._nats)

    @cached_property
    def loss(self) -> float:
        """Mean loss of the batch before the update, in nats per symbol, added in float64."""
        return float(np.mean(self.nats, dtype=np.float64))

    @cached_property
    def gradient_norm(self) -> float:
        """Global norm of the gradient before clipping."""
        return float(self._backend.numpy(self._norm))


class CharRNN:
    """A character-level LSTM language model on any installed backend.

    The defaults are those of the classic CharRNN. ``batch_size`` and ``num_steps`` are the shape of a
    training batch; evaluation and prediction take any.

        model = CharRNN(vocabulary_size=84, backend="torch")
        result = model.train_step(inputs, targets)       # int32 (batch, time) each
        print(result.loss)

    Raises ConfigurationError for a number out of its range, BackendError for a backend that can't be used
    or lacks a capability that a setting needs.
    """

    def __init__(
        self,
        vocabulary_size: int,
        batch_size: int = 64,
        num_steps: int = 50,
        lstm_size: int = 128,
        num_layers: int = 2,
        learning_rate: float = 0.001,
        grad_clip: float = 5.0,
        dropout: float = 0.0,
        *,
        weight_decay: float = 0.0,
        backend: str | Backend[Any] = "numpy",
        precision: str = "float32",
        device: str | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        if batch_size < 1 or num_steps < 1:
            raise ConfigurationError(
                f"batch_size and num_steps are at least 1; given {batch_size} and {num_steps}"
            )
        shape = {"lstm_size": lstm_size, "num_layers": num_layers, "dropout": dropout}
        rates = {"learning_rate": learning_rate, "grad_clip": grad_clip, "weight_decay": weight_decay}
        model = build(ModelConfig, {"vocabulary_size": vocabulary_size, **shape})
        optimizer = build(OptimizerConfig, rates)
        if isinstance(backend, str):
            backend = plugins.create(
                backend,
                precision=precision,
                device=device,
                threads=threads,
                required=required(model=model, optimizer=optimizer),
            )
        self._assemble(model, optimizer, backend, (batch_size, num_steps), seed, training=True)
        self.load_weights(initial_weights(self.model, seed))

    @classmethod
    def from_config(
        cls,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        backend: Backend[Any],
        *,
        batch_size: int,
        num_steps: int,
        seed: int = 0,
        weights: Mapping[str, Array] | None = None,
        training: bool = True,
    ) -> CharRNN:
        """Makes a CharRNN of a resolved configuration, from given weights or from the seed's initial ones.

        ``training`` False is for a model that is only evaluated and sampled: the backend needs no capability of
        the optimizer's then, and where it lacks one, an update raises BackendError. Otherwise a missing capability
        raises it here.
        """
        network = cls.__new__(cls)
        network._assemble(model, optimizer, backend, (batch_size, num_steps), seed, training)
        network.load_weights(initial_weights(model, seed) if weights is None else weights)
        return network

    def _assemble(
        self,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        backend: Backend[Any],
        shape: tuple[int, int],
        seed: int,
        training: bool,
    ) -> None:
        self.model, self.optimizer, self.backend, self.seed = model, optimizer, backend, seed
        plugins.check_capabilities(backend.name, backend.capabilities, required(model=model))
        self._needs = required(optimizer=optimizer)
        if training:
            self._check_updates()
        self.batch_size, self.num_steps = shape
        self.step = 0
        lstm, output = backend.build_lstm(model), backend.build_output(model)
        loss = backend.build_loss(model)
        able = self._needs.keys() <= backend.capabilities  # where it isn't, _check_updates stops every step
        update: Any = backend.build_optimizer(optimizer) if able else None

        def forward(
            weights: Weights[Any], symbols: Any, targets: Any, state: State[Any], masks: Any
        ) -> tuple[Any, State[Any]]:
            features, state = lstm(weights, symbols, state, masks)
            return loss(output(weights, features), targets), state

        backward = backend.differentiate(forward)

        def train(
            weights: Weights[Any],
            moments: Moments[Any],
            rates: Rates[Any],
            symbols: Any,
            targets: Any,
            state: State[Any],
            masks: Any,
        ) -> tuple[Weights[Any], Moments[Any], State[Any], Any, Any]:
            gradients, nats, state = backward(weights, symbols, targets, state, masks)
            weights, moments, norm = update(weights, moments, gradients, rates)
            return weights, moments, state, nats, norm

        def apply(
            weights: Weights[Any], moments: Moments[Any], gradients: Weights[Any], rates: Rates[Any]
        ) -> tuple[Weights[Any], Moments[Any], Any]:
            weights, moments, norm = update(weights, moments, gradients, rates)
            return weights, moments, norm

        def predict(weights: Weights[Any], symbols: Any, state: State[Any]) -> tuple[Any, State[Any]]:
            features, state = lstm(weights, symbols, state, None)
            return output(weights, features), state

        def advance(weights: Weights[Any], symbols: Any, state: State[Any]) -> State[Any]:
            return lstm(weights, symbols, state, None)[1]

        self._train = backend.compile(train, consumes=("weights", "moments"))
        self._backward = backend.compile(backward)
        self._forward = backend.compile(forward)
        self._predict = backend.compile(predict)
        self._advance = backend.compile(advance)
        self._update = backend.compile(apply, consumes=("weights", "moments"))
        self.reset_state()

    # ---- weights, moments, state: NumPy in, owned NumPy copies out -------------------------------------

    def weights(self) -> dict[str, Array]:
        """The canonical weights, copied out."""
        return self._out(self._weights)

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Takes canonical weights and forgets the moments and the step count."""
        self._weights = self._in(weights)
        zeros = {name: np.zeros(shape) for name, shape in weight_shapes(self.model).items()}
        self.load_moments(zeros, zeros, step=0)

    def moments(self) -> Moments[Array]:
        """Adam's running means by canonical weight name, copied out."""
        return Moments(self._out(self._moments.exp_avg), self._out(self._moments.exp_avg_sq))

    def load_moments(
        self, exp_avg: Mapping[str, Array], exp_avg_sq: Mapping[str, Array], *, step: int
    ) -> None:
        """Takes Adam's running means and the number of steps that made them."""
        self._moments = Moments(self._in(exp_avg), self._in(exp_avg_sq))
        self.step = step

    def state(self) -> State[Array]:
        """The carried state, copied out: each array ``(layer, batch, unit)``."""
        return self.state_arrays(self._state)

    def load_state(self, state: State[Array]) -> None:
        """Takes a state, each array ``(layer, batch, unit)``, to carry into the next training step."""
        self._state = self.state_from(state)

    def reset_state(self) -> None:
        """Makes the carried state zero, as at the start of an epoch."""
        self._state = self.state_from(self.zero_state(self.batch_size))

    def zero_state(self, batch_size: int) -> State[Array]:
        """A zero state for a batch of this size, each array ``(layer, batch, unit)``."""
        shape = (self.model.num_layers, batch_size, self.model.lstm_size)
        return State(self._zeros(shape), self._zeros(shape))

    # ---- training ---------------------------------------------------------------------------------------

    def train_step(
        self,
        inputs: NDArray[np.int32],
        targets: NDArray[np.int32],
        *,
        learning_rate: float | None = None,
        masks: NDArray[np.bool_] | None = None,
    ) -> StepResult:
        """One update from int32 ``(batch, time)`` inputs and targets, carrying the state along.

        ``masks`` are this step's dropout masks, bool ``(layer, batch, time, unit)``, where the caller made
        them ahead; otherwise they are made here. The arrays must not be written to afterwards.
        """
        self._check_updates()
        self._check_symbols(inputs, targets)
        self.step += 1
        if masks is None and self.model.dropout > 0:
            masks = self.masks(self.step, inputs.shape)
        self._weights, self._moments, self._state, nats, norm = self._train(
            self._weights,
            self._moments,
            self._rates(self.optimizer.learning_rate if learning_rate is None else learning_rate),
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            self._state,
            None if masks is None else self.backend.tensor(masks),
        )
        return StepResult(self.step, self.backend, nats, norm)

    def masks(self, step: int, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """The dropout masks of a step, bool ``(layer, batch, time, unit)``; None without dropout."""
        if self.model.dropout == 0:
            return None
        batch, time = shape
        size = (self.model.num_layers, batch, time, self.model.lstm_size)
        return dropout_masks(self.seed, step, size, self.model.dropout)

    def gradients(
        self,
        inputs: NDArray[np.int32],
        targets: NDArray[np.int32],
        *,
        state: State[Array] | None = None,
        masks: NDArray[np.bool_] | None = None,
    ) -> tuple[dict[str, Array], Array, State[Array]]:
        """The gradient of the mean loss by weight name, the nats ``(batch, time)`` and the new state.

        Changes nothing. The batch may be any slice of a larger one, with its slice of state and masks.
        """
        self._check_symbols(inputs, targets)
        before = self.zero_state(inputs.shape[0]) if state is None else state
        gradients, nats, after = self._backward(
            self._weights,
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            self.state_from(before),
            None if masks is None else self.backend.tensor(masks),
        )
        return self._out(gradients), self.backend.numpy(nats), self.state_arrays(after)

    def apply_gradients(self, gradients: Mapping[str, Array], *, learning_rate: float | None = None) -> float:
        """One clipped Adam update from given gradients; returns their global norm before clipping."""
        self._check_updates()
        self.step += 1
        rates = self._rates(self.optimizer.learning_rate if learning_rate is None else learning_rate)
        self._weights, self._moments, norm = self._update(
            self._weights, self._moments, self._in(gradients), rates
        )
        return float(self.backend.numpy(norm))

    # ---- evaluation and prediction; neither touches the carried state ------------------------------------

    def nats(self, inputs: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> tuple[Array, Any]:
        """The loss of each symbol without dropout, nats ``(batch, time)``, and the state after them.

        ``state`` is one from ``start`` or from the last call; it stays in the framework.
        """
        self._check_symbols(inputs, targets)
        nats, after = self._forward(
            self._weights,
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            state,
            None,
        )
        return self.backend.numpy(nats), after

    def predict(self, symbols: NDArray[np.int32], state: Any) -> tuple[Array, Any]:
        """Logits ``(batch, vocabulary)`` for what follows one symbol each, int32 ``(batch, 1)``.

        ``state`` is one from ``start`` or from the last call; it stays in the framework.
        """
        logits, state = self._predict(self._weights, self.backend.tensor(symbols), state)
        return self.backend.numpy(logits).reshape(symbols.shape[0], self.model.vocabulary_size), state

    def start(self, batch_size: int) -> Any:
        """A zero state for ``nats``, ``predict`` and ``advance``, in the framework's own tensors."""
        return self.state_from(self.zero_state(batch_size))

    def repeat(self, state: Any, count: int) -> Any:
        """The state of a batch of one, for ``count`` streams that go on from it side by side."""
        one = self.state_arrays(state)
        return self.state_from(State(one.hidden.repeat(count, axis=1), one.cell.repeat(count, axis=1)))

    def advance(self, symbols: NDArray[np.int32], state: Any) -> Any:
        """The state after int32 ``(batch, time)`` symbols."""
        return self._advance(self._weights, self.backend.tensor(symbols), state)

    # ---- crossing the border ------------------------------------------------------------------------------

    def _check_updates(self) -> None:
        """Raises BackendError where an update needs a capability that the backend does not declare."""
        plugins.check_capabilities(self.backend.name, self.backend.capabilities, self._needs)

    def _check_symbols(self, inputs: NDArray[np.int32], targets: NDArray[np.int32]) -> None:
        """Frameworks differ in what they make of a symbol that there is not; none of it is wanted."""
        size = self.model.vocabulary_size
        for array in (inputs, targets):
            if array.dtype != np.int32 or array.ndim != 2 or array.shape != inputs.shape:
                raise ConfigurationError(
                    f"inputs and targets are int32 (batch, time) of one shape; given {array.dtype} {array.shape}"
                )
            if array.size == 0 or array.min() < 0 or array.max() >= size:
                raise ConfigurationError(
                    f"symbols go from 0 to {size - 1}, at least one; given {array!r:.60}"
                )

    def _rates(self, learning_rate: float) -> Rates[Any]:
        beta1, beta2 = self.optimizer.beta1, self.optimizer.beta2
        numbers = (learning_rate, 1.0 - beta1**self.step, 1.0 - beta2**self.step)
        return Rates(*(self.backend.tensor(np.asarray(number, dtype=np.float64)) for number in numbers))

    def _in(self, arrays: Mapping[str, Array]) -> Weights[Any]:
        wrong = mismatch(arrays, self.model)
        if wrong:
            raise RunError(f"these arrays are not this model's: {wrong}")
        return {name: self.backend.tensor(arrays[name]) for name in weight_shapes(self.model)}

    def _out(self, tensors: Weights[Any]) -> dict[str, Array]:
        return {name: self.backend.numpy(tensors[name]) for name in weight_shapes(self.model)}

    def state_from(self, state: State[Array]) -> Any:
        """A state of arrays, each ``(layer, batch, unit)``, in the framework's own tensors."""
        return State(self.backend.tensor(state.hidden), self.backend.tensor(state.cell))

    def state_arrays(self, state: Any) -> State[Array]:
        """A state of the framework's own tensors, copied out: each array ``(layer, batch, unit)``."""
        return State(self.backend.numpy(state.hidden), self.backend.numpy(state.cell))

    def _zeros(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, dtype=float_dtype(self.backend.precision))
