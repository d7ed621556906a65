"""CharRNN: a character-level LSTM on any backend, trained, evaluated and sampled in the same way on each.

Its inputs and outputs are NumPy arrays; between them, everything is the framework's.
"""

# Over 300 lines: one class, with the documentation of its methods.

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit.argument_checks import as_path, integer, refuse_text
from charkit.backend import Array, Backend, Rates, State
from charkit.backend_choice import BackendChoice, check_is_backend
from charkit.capabilities import required
from charkit.config import Initialization, ModelConfig, OptimizerConfig, build, check_choice
from charkit.inference import InferenceNetwork
from charkit.input_checks import MOST_SEED, MOST_SYMBOLS, InputChecker
from charkit.keyword_suggestions import suggesting_keywords
from charkit.network import Network, StepResult
from charkit.network_file import NetworkFile
from charkit.one_thread import lock_of, one_thread_at_a_time
from charkit.plugins.backend_creation import check_capabilities
from charkit.randomness import dropout_masks
from charkit.system.signals import postponing_ctrl_c
from charkit.tensor_conversion import Converter
from charkit.weights import initial_weights


class CharRNN(InferenceNetwork):
    """A character-level LSTM language model on any installed backend.

    It owns the weights, Adam's moments, the step count and the carried state. The defaults are those of the classic
    CharRNN. ``batch_size`` and ``num_steps`` are the shape of a training batch; evaluation and prediction take any.

        model = CharRNN(vocabulary_size=84, backend="torch")
        result = model.train_step(inputs, targets)       # int32 (batch, time) each
        print(result.loss)
        print(model.sample(200, prime=inputs[0]))        # int32 (1, 200)

    Raises ConfigurationError for a number out of range, and BackendError for a backend that can't be used or lacks a
    required capability. Every method raises InputError for arguments that don't fit, and MemoryError if memory runs
    out. A training step that fails changes nothing, except if a GPU's memory runs out within JAX's update: the network
    must then be restored from a snapshot or a file. Ctrl-C during a step raises KeyboardInterrupt once the step is
    complete; pressed twice, it raises at once, and the network must be restored. Several threads may use networks at
    the same time; those on one backend wait for each other.
    """

    config: ModelConfig
    optimizer_config: OptimizerConfig
    backend: Backend[Any]
    seed: int
    #: Sequences and time steps of a training batch.
    batch_size: int
    num_steps: int
    #: Training steps taken.
    step: int

    @suggesting_keywords
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
        initialization: Initialization = "orthogonal",
    ) -> None:
        check_choice("initialization", initialization, get_args(Initialization))
        refuse_text(
            vocabulary_size=vocabulary_size,
            lstm_size=lstm_size,
            num_layers=num_layers,
            learning_rate=learning_rate,
            grad_clip=grad_clip,
            dropout=dropout,
            weight_decay=weight_decay,
        )
        shape = {"lstm_size": lstm_size, "num_layers": num_layers, "dropout": dropout}
        rates = {"learning_rate": learning_rate, "grad_clip": grad_clip, "weight_decay": weight_decay}
        config = build(ModelConfig, {"vocabulary_size": vocabulary_size, **shape})
        optimizer = build(OptimizerConfig, rates)
        needs = required(model=config, optimizer=optimizer)
        made = BackendChoice(backend, device, threads).create(precision, needs)
        self._assemble(config, optimizer, made, (batch_size, num_steps), seed, training=True)
        self.load_weights(initial_weights(config, seed, initialization))

    def __repr__(self) -> str:
        model = self.config
        return (
            f"<CharRNN: {model.num_layers} x {model.lstm_size} units, {model.vocabulary_size} symbols, "
            f"{self.backend.name} {self.backend.precision}, step {self.step}>"
        )

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
        """Creates a CharRNN from a resolved configuration, with the given weights or the seed's initial weights.

        Set ``training`` to False for a model that is only evaluated and sampled: the backend then needs none of the
        optimizer's capabilities, and if it lacks one, an update raises BackendError. Otherwise a missing capability
        raises BackendError here.
        """
        network = cls.__new__(cls)
        network._assemble(config, optimizer_config, backend, (batch_size, num_steps), seed, training)
        network.load_weights(initial_weights(config, seed) if weights is None else weights)
        return network

    @classmethod
    @suggesting_keywords
    def load(
        cls,
        path: str | PathLike[str],
        *,
        backend: str | Backend[Any] = "numpy",
        precision: str | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> CharRNN:
        """Loads a network that ``save`` wrote, on any backend, ready to continue training.

        ``precision`` defaults to that of the saved network. Raises RunError for any other file, and BackendError.
        """
        saved = NetworkFile.read(as_path("`path`", path))
        precision = saved.precision if precision is None and isinstance(backend, str) else precision
        needs = required(model=saved.model, optimizer=saved.optimizer)
        made = BackendChoice(backend, device, threads).create(precision, needs)
        network = cls.__new__(cls)
        shape = (saved.batch_size, saved.num_steps)
        network._assemble(saved.model, saved.optimizer, made, shape, saved.seed, training=True)
        network.restore(saved.snapshot)
        return network

    def save(self, path: str | PathLike[str]) -> None:
        """Writes configuration, weights, moments, state and step count to one safetensors file.

        An existing file is replaced atomically. Raises StorageError.
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
        saved.write(as_path("`path`", path))

    def __deepcopy__(self, memo: dict[int, Any]) -> CharRNN:
        """A network with the same values on the same backend: a training step of one doesn't change the other."""
        network = memo[id(self)] = type(self).__new__(type(self))
        shape, able = (self.batch_size, self.num_steps), self._needs.keys() <= self.backend.capabilities
        network._assemble(self.config, self.optimizer_config, self.backend, shape, self.seed, training=able)
        network.restore(self.snapshot())
        return network

    def __copy__(self) -> CharRNN:
        return self.__deepcopy__({})

    def _assemble(
        self,
        config: ModelConfig,
        optimizer: OptimizerConfig,
        backend: Backend[Any],
        shape: tuple[int, int],
        seed: int,
        training: bool,
    ) -> None:
        check_is_backend(backend)
        self.batch_size = integer("batch_size", shape[0], 1, MOST_SYMBOLS)
        self.num_steps = integer("num_steps", shape[1], 1, MOST_SYMBOLS)
        self.seed = integer("seed", seed, 0, MOST_SEED)
        self.config, self.optimizer_config, self.backend = config, optimizer, backend
        self.step = 0
        check_capabilities(backend.name, backend.capabilities, required(model=config))
        self._needs = required(optimizer=optimizer)
        if training:
            self._check_updates()
        able = self._needs.keys() <= backend.capabilities  # where it isn't, _check_updates stops every step
        self._check, self._convert = InputChecker(config), Converter(backend, config)
        with lock_of(backend):
            self._network = Network(backend, config, optimizer if able else None)
        self.reset_state()

    @suggesting_keywords
    @one_thread_at_a_time
    def train_step(
        self,
        inputs: NDArray[np.int32],
        targets: NDArray[np.int32],
        *,
        learning_rate: float | None = None,
        masks: NDArray[np.bool_] | None = None,
    ) -> StepResult:
        """Trains one step on int32 ``(batch, time)`` inputs and targets, carrying the state along.

        ``masks`` are this step's dropout masks, bool ``(layer, batch, time, unit)``, if the caller has generated them
        in advance; otherwise they are generated here. The arrays must not be modified afterwards. ``learning_rate``,
        from 0 to 100, replaces that of the configuration for this step.
        """
        self._check_updates()
        self._check.batch(inputs, targets)
        self._check.streams(inputs, self.batch_size)
        self._check.masks(masks, inputs)
        step = self.step + 1
        if masks is None:
            masks = self.masks(step, inputs.shape)
        symbols, answers = self.backend.tensor(inputs), self.backend.tensor(targets)
        rates, dropped = self._rates(step, learning_rate), self._convert.masks_in(masks)

        def update() -> StepResult:
            weights, moments, state, nats, norm = self._network.train(
                self._weights, self._moments, rates, symbols, answers, self._state, dropped
            )
            self._weights, self._moments, self._state, self.step = weights, moments, state, step
            return StepResult(step, self.backend, nats, norm)

        return postponing_ctrl_c(update)

    def masks(self, step: int, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """A step's masks, bool ``(layer, batch, time, unit)``, for a ``shape`` (batch, time); None without dropout."""
        if self.config.dropout == 0:
            return None
        step, (batch, time) = self._check.step(step), self._check.shape(shape)
        size = (self.config.num_layers, batch, time, self.config.lstm_size)
        return dropout_masks(self.seed, step, size, self.config.dropout)

    @suggesting_keywords
    @one_thread_at_a_time
    def gradients(
        self,
        inputs: NDArray[np.int32],
        targets: NDArray[np.int32],
        *,
        state: State[Array] | None = None,
        masks: NDArray[np.bool_] | None = None,
    ) -> tuple[dict[str, Array], Array, State[Array]]:
        """Returns the gradient of the mean loss by weight name, the nats ``(batch, time)`` and the new state.

        Changes nothing. Unlike in ``train_step``, the carried state is not used without ``state``, which is then zero,
        and nothing is dropped without ``masks`` (see ``masks``). The batch may be any slice of a larger one, with its
        slice of state and masks.
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

    @one_thread_at_a_time
    def apply_gradients(
        self,
        gradients: Mapping[str, Array],
        *,
        learning_rate: float | None = None,
        state: State[Array] | None = None,
    ) -> float:
        """Applies one clipped Adam update with the given gradients; returns their global norm before clipping.

        With ``state``, this is a whole training step: the state is carried into the next one. To do just what
        ``train_step`` does::

            masks = model.masks(model.step + 1, inputs.shape)
            gradients, nats, state = model.gradients(inputs, targets, state=model.state(), masks=masks)
            model.apply_gradients(gradients, state=state)
        """
        self._check_updates()
        self._check.weights(gradients, "gradients")
        if state is not None:
            self._check.state(state, self.batch_size)
        carried = self._state if state is None else self._convert.state_in(state)
        step = self.step + 1
        rates, converted = self._rates(step, learning_rate), self._convert.weights_in(gradients)

        def update() -> Any:
            weights, moments, norm = self._network.apply(self._weights, self._moments, converted, rates)
            self._weights, self._moments, self._state, self.step = weights, moments, carried, step
            return norm

        return float(self.backend.numpy(postponing_ctrl_c(update)))

    def _check_updates(self) -> None:
        """Raises BackendError where an update needs a capability that the backend does not declare."""
        check_capabilities(self.backend.name, self.backend.capabilities, self._needs)

    def _rates(self, step: int, learning_rate: float | None) -> Rates[Any]:
        optimizer = self.optimizer_config
        rate = optimizer.learning_rate if learning_rate is None else learning_rate
        rate = self._check.learning_rate(rate)
        return self._convert.rates(rate, 1.0 - optimizer.beta1**step, 1.0 - optimizer.beta2**step)
