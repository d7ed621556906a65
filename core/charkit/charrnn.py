"""CharRNN: a character-level LSTM on any backend, trained, evaluated and sampled in the same way on each.

It owns the weights, Adam's moments, the step count and the carried state. What goes in and comes out is
NumPy; what lies between belongs to the framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.backend import Array, Backend, Moments, Rates, State
from charkit.capabilities import required
from charkit.config import ModelConfig, OptimizerConfig, SamplingConfig, build
from charkit.conversion import Converter
from charkit.drawing import draw, fresh_seed
from charkit.errors import ConfigurationError, InputError
from charkit.inputs import DeviceState, InputChecker
from charkit.network import Network, StepResult
from charkit.network_file import NetworkFile
from charkit.plugins.creation import check_capabilities
from charkit.randomness import dropout_masks
from charkit.snapshot import Snapshot
from charkit.weights import initial_weights, weight_shapes


class CharRNN:
    """A character-level LSTM language model on any installed backend.

    The defaults are those of the classic CharRNN. ``batch_size`` and ``num_steps`` are the shape of a
    training batch; evaluation and prediction take any.

        model = CharRNN(vocabulary_size=84, backend="torch")
        result = model.train_step(inputs, targets)       # int32 (batch, time) each
        print(result.loss)
        print(model.sample(200, prime=inputs[0]))        # int32 (1, 200)

    Raises ConfigurationError for a number out of its range, BackendError for a backend that can't be used
    or lacks a capability that a setting needs. Every method raises InputError for arrays that don't fit,
    and MemoryError where memory runs out; a training step that fails changes nothing.
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
        precision: str | None = None,
        device: str | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        shape = {"lstm_size": lstm_size, "num_layers": num_layers, "dropout": dropout}
        rates = {"learning_rate": learning_rate, "grad_clip": grad_clip, "weight_decay": weight_decay}
        config = build(ModelConfig, {"vocabulary_size": vocabulary_size, **shape})
        optimizer = build(OptimizerConfig, rates)
        made = _backend(backend, precision, device, threads, config, optimizer)
        self._assemble(config, optimizer, made, (batch_size, num_steps), seed, training=True)
        self.load_weights(initial_weights(config, seed))

    @classmethod
    def from_config(
        cls,
        config: ModelConfig,
        optimizer_config: OptimizerConfig,
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
        network._assemble(config, optimizer_config, backend, (batch_size, num_steps), seed, training)
        network.load_weights(initial_weights(config, seed) if weights is None else weights)
        return network

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        backend: str | Backend[Any] = "numpy",
        precision: str | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> CharRNN:
        """Makes the network that ``save`` wrote, on any backend, ready to train on from where it stood.

        ``precision`` is by default the one that it was saved in. Raises RunError for any other file, BackendError.
        """
        saved = NetworkFile.read(Path(path))
        precision = saved.precision if precision is None and isinstance(backend, str) else precision
        made = _backend(backend, precision, device, threads, saved.model, saved.optimizer)
        network = cls.__new__(cls)
        shape = (saved.batch_size, saved.num_steps)
        network._assemble(saved.model, saved.optimizer, made, shape, saved.seed, training=True)
        network.restore(saved.snapshot)
        return network

    def save(self, path: str | PathLike[str]) -> None:
        """Writes configuration, weights, moments, state and step count to one safetensors file.

        A file that is there is replaced in one step. Raises StorageError.
        """
        saved = NetworkFile(
            self.config,
            self.optimizer_config,
            self.batch_size,
            self.num_steps,
            self.seed,
            self.backend.precision,
            self.snapshot(),
        )
        saved.write(Path(path))

    def _assemble(
        self,
        config: ModelConfig,
        optimizer: OptimizerConfig,
        backend: Backend[Any],
        shape: tuple[int, int],
        seed: int,
        training: bool,
    ) -> None:
        if min(shape) < 1:
            raise ConfigurationError(
                f"batch_size and num_steps are at least 1; given {shape[0]} and {shape[1]}"
            )
        if seed < 0:
            raise ConfigurationError(f"seed is at least 0; given {seed}")
        self.config, self.optimizer_config, self.backend, self.seed = config, optimizer, backend, seed
        self.batch_size, self.num_steps = shape
        self.step = 0
        check_capabilities(backend.name, backend.capabilities, required(model=config))
        self._needs = required(optimizer=optimizer)
        if training:
            self._check_updates()
        able = self._needs.keys() <= backend.capabilities  # where it isn't, _check_updates stops every step
        self._check, self._convert = InputChecker(config), Converter(backend, config)
        self._network = Network(backend, config, optimizer if able else None)
        self.reset_state()

    # ---- weights, moments, state: NumPy in, owned NumPy copies out -------------------------------------

    def snapshot(self) -> Snapshot:
        """Weights, moments, carried state and step count, copied out."""
        return Snapshot(self.weights(), self.moments(), self.state(), self.step)

    def restore(self, snapshot: Snapshot) -> None:
        """Takes all that ``snapshot`` gave, of this network or of another of the same shape and batch size."""
        self._check.weights(snapshot.weights, "weights")
        self._check.state(snapshot.state, self.batch_size)
        moments = self._moments_in(*snapshot.moments)
        self._weights, self._moments = self._convert.weights_in(snapshot.weights), moments
        self._state, self.step = self._convert.state_in(snapshot.state), snapshot.step

    def weights(self) -> dict[str, Array]:
        """The canonical weights, copied out."""
        return self._convert.weights_out(self._weights)

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Takes canonical weights and forgets the moments and the step count."""
        self._check.weights(weights, "weights")
        self._weights = self._convert.weights_in(weights)
        zeros = {name: np.zeros(shape) for name, shape in weight_shapes(self.config).items()}
        self.load_moments(zeros, zeros, step=0)

    def moments(self) -> Moments[Array]:
        """Adam's running means by canonical weight name, copied out."""
        return Moments(*(self._convert.weights_out(tensors) for tensors in self._moments))

    def load_moments(
        self, exp_avg: Mapping[str, Array], exp_avg_sq: Mapping[str, Array], *, step: int
    ) -> None:
        """Takes Adam's running means and the number of steps that made them."""
        self._moments = self._moments_in(exp_avg, exp_avg_sq)
        self.step = step

    def state(self) -> State[Array]:
        """The carried state, copied out: each array ``(layer, batch, unit)``."""
        return self._convert.state_out(self._state)

    def load_state(self, state: State[Array]) -> None:
        """Takes a state, each array ``(layer, batch, unit)``, to carry into the next training step."""
        self._check.state(state, self.batch_size)
        self._state = self._convert.state_in(state)

    def reset_state(self) -> None:
        """Makes the carried state zero, as at the start of an epoch."""
        self._state = self._convert.state_in(self._convert.zero_state(self.batch_size))

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
        self._check.batch(inputs, targets)
        self._check.streams(inputs, self.batch_size)
        self._check.masks(masks, inputs)
        step = self.step + 1
        if masks is None:
            masks = self.masks(step, inputs.shape)
        weights, moments, state, nats, norm = self._network.train(
            self._weights,
            self._moments,
            self._rates(step, learning_rate),
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            self._state,
            self._convert.masks_in(masks),
        )
        self._weights, self._moments, self._state, self.step = weights, moments, state, step
        return StepResult(step, self.backend, nats, norm)

    def masks(self, step: int, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """The dropout masks of a step, bool ``(layer, batch, time, unit)``; None without dropout."""
        if self.config.dropout == 0:
            return None
        batch, time = shape
        size = (self.config.num_layers, batch, time, self.config.lstm_size)
        return dropout_masks(self.seed, step, size, self.config.dropout)

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
        self._check.batch(inputs, targets)
        self._check.masks(masks, inputs)
        before = self._convert.zero_state(len(inputs)) if state is None else state
        self._check.state(before, len(inputs))
        gradients, nats, after = self._network.backward(
            self._weights,
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            self._convert.state_in(before),
            self._convert.masks_in(masks),
        )
        return self._convert.weights_out(gradients), self.backend.numpy(nats), self._convert.state_out(after)

    def apply_gradients(self, gradients: Mapping[str, Array], *, learning_rate: float | None = None) -> float:
        """One clipped Adam update from given gradients; returns their global norm before clipping."""
        self._check_updates()
        self._check.weights(gradients, "gradients")
        step = self.step + 1
        weights, moments, norm = self._network.apply(
            self._weights,
            self._moments,
            self._convert.weights_in(gradients),
            self._rates(step, learning_rate),
        )
        self._weights, self._moments, self.step = weights, moments, step
        return float(self.backend.numpy(norm))

    # ---- evaluation and prediction; neither touches the carried state ------------------------------------

    def initial_state(self, batch_size: int = 1, *, arrays: State[Array] | None = None) -> DeviceState:
        """A state for ``nats``, ``predict`` and ``advance``, in the framework's own tensors: zero, or from arrays.

        The state of a single sequence is repeated for each of the batch.
        """
        if batch_size < 1:
            raise InputError(f"batch_size is at least 1; given {batch_size}")
        if arrays is None:
            arrays = self._convert.zero_state(batch_size)
        elif batch_size > 1 and self._check.is_of_one(arrays):
            arrays = State(*(array.repeat(batch_size, axis=1) for array in arrays))
        self._check.state(arrays, batch_size)
        return DeviceState(self._convert.state_in(arrays), batch_size, self.config)

    def state_arrays(self, state: DeviceState) -> State[Array]:
        """A state of the framework's own tensors, copied out: each array ``(layer, batch, unit)``."""
        return self._convert.state_out(state.tensors)

    def nats(
        self, inputs: NDArray[np.int32], targets: NDArray[np.int32], state: DeviceState
    ) -> tuple[Array, DeviceState]:
        """The loss of each symbol without dropout, nats ``(batch, time)``, and the state after them.

        ``state`` is one from ``initial_state`` or from the last call.
        """
        self._check.batch(inputs, targets)
        self._check.device_state(state, inputs)
        nats, after = self._network.forward(
            self._weights,
            self.backend.tensor(inputs),
            self.backend.tensor(targets),
            state.tensors,
            None,
        )
        return self.backend.numpy(nats), DeviceState(after, state.batch_size, self.config)

    def predict(self, symbols: NDArray[np.int32], state: DeviceState) -> tuple[Array, DeviceState]:
        """Logits ``(batch, vocabulary)`` for what follows one symbol each, int32 ``(batch, 1)``.

        ``state`` is one from ``initial_state`` or from the last call.
        """
        self._check.symbols(symbols, "symbols", time=1)
        self._check.device_state(state, symbols)
        logits, after = self._network.predict(self._weights, self.backend.tensor(symbols), state.tensors)
        flat = self.backend.numpy(logits).reshape(len(symbols), self.config.vocabulary_size)
        return flat, DeviceState(after, state.batch_size, self.config)

    def advance(self, symbols: NDArray[np.int32], state: DeviceState) -> DeviceState:
        """The state after int32 ``(batch, time)`` symbols."""
        self._check.symbols(symbols, "symbols")
        self._check.device_state(state, symbols)
        after = self._network.advance(self._weights, self.backend.tensor(symbols), state.tensors)
        return DeviceState(after, state.batch_size, self.config)

    def sample(
        self,
        length: int = 500,
        *,
        prime: NDArray[np.int32] | None = None,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> NDArray[np.int32]:
        """Draws symbols, int32 ``(count, length)``, that follow those of ``prime``, int32 ``(time,)``.

        Without ``prime`` they follow symbol 0. The same seed gives the same symbols on every backend; without one a
        fresh seed is drawn.
        """
        options: dict[str, Any] = {"length": length, "count": count, "temperature": temperature}
        options |= {"top_k": top_k, "top_p": top_p, "seed": fresh_seed() if seed is None else seed}
        start = np.zeros(1, dtype=np.int32) if prime is None else prime
        return np.stack(list(self.draw(build(SamplingConfig, options), start)), axis=1)

    def draw(self, config: SamplingConfig, prime: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Yields the next symbol of each sample, int32 ``(count,)``, ``config.length`` times.

        ``prime``, int32 ``(time,)``, holds one symbol at least; ``config.seed`` must be set.
        """
        self._check.prime(prime)
        return draw(self, config, prime)

    def _check_updates(self) -> None:
        """Raises BackendError where an update needs a capability that the backend does not declare."""
        check_capabilities(self.backend.name, self.backend.capabilities, self._needs)

    def _rates(self, step: int, learning_rate: float | None) -> Rates[Any]:
        optimizer = self.optimizer_config
        rate = optimizer.learning_rate if learning_rate is None else learning_rate
        return self._convert.rates(rate, 1.0 - optimizer.beta1**step, 1.0 - optimizer.beta2**step)

    def _moments_in(self, exp_avg: Mapping[str, Array], exp_avg_sq: Mapping[str, Array]) -> Moments[Any]:
        self._check.weights(exp_avg, "exp_avg")
        self._check.weights(exp_avg_sq, "exp_avg_sq")
        return Moments(self._convert.weights_in(exp_avg), self._convert.weights_in(exp_avg_sq))


def _backend(
    backend: str | Backend[Any],
    precision: str | None,
    device: str | None,
    threads: int | None,
    config: ModelConfig,
    optimizer: OptimizerConfig,
) -> Backend[Any]:
    """The backend of that name, made for these settings, or the one that is given. Raises BackendError."""
    if isinstance(backend, str):
        return plugins.create(
            backend,
            precision="float32" if precision is None else precision,
            device=device,
            threads=threads,
            required=required(model=config, optimizer=optimizer),
        )
    given = {"precision": precision, "device": device, "threads": threads}
    for name, value in given.items():
        has = getattr(backend, name)
        if value is not None and value != has:
            raise ConfigurationError(
                f"{name} {value!r} does not fit the given backend, which was made with {name} {has!r}; "
                f"leave {name} out, or give the backend by name"
            )
    return backend
