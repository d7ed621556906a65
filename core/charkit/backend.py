"""The contract between charkit and a backend, which connects charkit to one numerical framework.

A backend consists of four parts, each a function of tensors without side effects, and four primitives. The
core composes them in the same way for every framework (``charkit.charrnn``). Conventions that bind every part:

- Weights and moments are dictionaries by canonical name (``charkit.weights``), in canonical layout. The order
  of a dictionary has no meaning.
- Symbols and targets are int32 ``(batch, time)``. Each array of the state is ``(layer, batch, unit)``.
- Masks are bool ``(layer, batch, time, unit)``, where true keeps an output, or None. They are None in evaluation
  and in training without dropout; nothing is scaled then.
- Features and logits may have the backend's own layout. Two things are fixed: nats are ``(batch, time)``, and the
  logits of one time step, copied out, hold ``batch * vocabulary`` numbers in that order, whatever their shape. No
  other logits are copied out.
- A step consumes weights and moments, which may be updated in place. It never consumes the state.
- A backend draws no random numbers and has no learning-rate schedule.
- Several backends may live in one process, in different precisions, and a network may be used in a thread other
  than the one that created it. Only one thread calls them at a time. A backend changes no process-wide default.
- The core never writes to an array after passing it to ``tensor()``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from charkit.config import ModelConfig, OptimizerConfig
from charkit.system.processors import available_processors

Tensor = TypeVar("Tensor")
Array = NDArray[Any]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Weights = dict[str, Tensor]


class State(NamedTuple, Generic[Tensor]):
    """The state that an LSTM carries between batches. Each array is ``(layer, batch, unit)``, never masked."""

    hidden: Tensor
    cell: Tensor


class Moments(NamedTuple, Generic[Tensor]):
    """Adam's running means of the gradient and of its square, by canonical weight name."""

    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]


class Rates(NamedTuple, Generic[Tensor]):
    """Scalars of one step, computed by the core in float64 and passed as tensors of the working precision."""

    learning_rate: Tensor
    bias_correction1: Tensor  # 1 - beta1**step
    bias_correction2: Tensor  # 1 - beta2**step


class Lstm(Protocol[Tensor]):
    """The stacked LSTM, with dropout on the output of every layer.

    For each layer and time step, with the gates i, f, g, o as the four blocks of z, in this order:

        z = weight_ih x_t + weight_hh h_{t-1} + bias
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)
        output_t = h_t * mask_t / (1 - dropout)

    ``x`` is the one-hot symbol for layer 0 and the output of the layer below for the others. Masks apply to the
    output of every layer, including the last; the carried ``h`` is not masked.
    """

    def __call__(
        self, weights: Weights[Tensor], symbols: Tensor, state: State[Tensor], masks: Tensor | None, /
    ) -> tuple[Tensor, State[Tensor]]:
        """Returns the output of the last layer, in the backend's own layout, and the state after the last symbol."""


class Output(Protocol[Tensor]):
    """The projection onto the vocabulary: ``output.weight features + output.bias``."""

    def __call__(self, weights: Weights[Tensor], features: Tensor, /) -> Tensor:
        """Returns the logits, in the backend's own layout."""


class Loss(Protocol[Tensor]):
    """Softmax cross-entropy of each symbol. Logits of any size must not overflow."""

    def __call__(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """Returns ``-log softmax(logits)[target]`` in nats, ``(batch, time)``."""


class Optimizer(Protocol[Tensor]):
    """Clipping by the global norm, then Adam (Kingma and Ba, 2015).

    Every gradient is multiplied by the same number, with the norm over all gradients together and no epsilon:

        g = gradient * min(1, clip_threshold / norm)
        m = beta1 * exp_avg + (1 - beta1) * g
        v = beta2 * exp_avg_sq + (1 - beta2) * g**2
        step = (m / bias_correction1) / (sqrt(v / bias_correction2) + epsilon)
        weight = weight - learning_rate * step

    The learning rate and the bias corrections are those of ``rates``. A norm that is not finite is returned
    unchanged: the core detects it.

    With the capability ``weight_decay``, also applies decoupled weight decay (AdamW; Loshchilov and Hutter, 2019) to
    the arrays that ``charkit.weights.decays`` names. Both terms use the weights before the step; gradients, norm,
    clipping and moments are the same with it as without:

        weight = weight - learning_rate * weight_decay * weight - learning_rate * step
    """

    def __call__(
        self,
        weights: Weights[Tensor],
        moments: Moments[Tensor],
        gradients: Weights[Tensor],
        rates: Rates[Tensor],
        /,
    ) -> tuple[Weights[Tensor], Moments[Tensor], Tensor]:
        """Returns new weights, new moments, and the global norm before clipping (a scalar).

        The returned dictionary of weights is a new object, even if its tensors were updated in place: a backend
        may keep what it prepared from the weights for exactly as long as the dictionary lives.
        """


class Forward(Protocol[Tensor]):
    """The composed forward pass that a backend differentiates."""

    def __call__(
        self,
        weights: Weights[Tensor],
        symbols: Tensor,
        targets: Tensor,
        state: State[Tensor],
        masks: Tensor | None,
    ) -> tuple[Tensor, State[Tensor]]:
        """Returns the nats of each symbol, ``(batch, time)``, and the new state."""


class Backward(Protocol[Tensor]):
    """The gradient of a forward pass."""

    def __call__(
        self,
        weights: Weights[Tensor],
        symbols: Tensor,
        targets: Tensor,
        state: State[Tensor],
        masks: Tensor | None,
    ) -> tuple[Weights[Tensor], Tensor, State[Tensor]]:
        """Returns the gradient of the MEAN of the nats by weight name, the nats ``(batch, time)`` and the new state.

        No gradient flows into the state that is passed in. The returned nats and state belong to no graph:
        a state that keeps its history would keep every earlier step in memory.

        The memory of the gradients may be reused by the next call; nats and state are fresh.
        """


class Backend(ABC, Generic[Tensor]):
    """The four parts of a CharRNN in one framework, and the primitives that run them.

    A subclass sets ``name`` and ``precisions`` and implements every abstract method; an incomplete one can't be
    instantiated.
    """

    #: The name of the backend, the same as that of its entry point.
    name: ClassVar[str]
    #: Which of float32, float64 and bfloat16 the backend computes in; float32 is required. The core refuses others.
    precisions: ClassVar[frozenset[str]]
    #: A description of what the backend rounds in bfloat16 besides the operands of matrix products.
    bfloat16_rounds: ClassVar[str] = ""
    #: The backend's features beyond contract 1.0, as named in ``charkit.capabilities``. The core refuses a setting
    #: that needs a capability that is not declared here, before it creates the backend; none is silently ignored.
    capabilities: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @abstractmethod
    def devices(cls) -> list[str]:
        """Returns the devices of this machine that work, such as ``cpu`` and ``cuda:0``; the first is the default.

        ``cpu`` is the processor. Any other device reports its memory through ``device_memory_bytes``.
        """

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        """Prepares the backend for one precision, device and number of threads.

        The core has checked precision and device against what is declared. A subclass calls this method first.

        ``threads`` is the number of processor threads to use, or None for the framework's own choice. If the
        framework uses another number, the subclass sets ``self.threads`` to it: it is recorded with each session,
        since it can decide the last bits of a result.
        """
        self.precision = precision
        self.device = device
        self.threads: int = threads or available_threads()

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that determine the results, by name; recorded with each session."""

    @abstractmethod
    def build_lstm(self, model: ModelConfig) -> Lstm[Tensor]:
        """Returns the stacked LSTM of the model."""

    @abstractmethod
    def build_output(self, model: ModelConfig) -> Output[Tensor]:
        """Returns the projection onto the vocabulary."""

    @abstractmethod
    def build_loss(self, model: ModelConfig) -> Loss[Tensor]:
        """Returns the loss of each symbol."""

    @abstractmethod
    def build_optimizer(self, optimizer: OptimizerConfig) -> Optimizer[Tensor]:
        """Returns the update of the optimizer."""

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Copies an array in. Floating-point arrays take the type of the weights; int32 and bool are kept."""

    @abstractmethod
    def numpy(self, tensor: Tensor) -> Array:
        """Copies a tensor out, as an array that the caller owns and may write to."""

    @abstractmethod
    def differentiate(self, forward: Forward[Tensor]) -> Backward[Tensor]:
        """Returns the function that computes the gradient of the mean of the nats of ``forward``.

        The core may pass the result to ``compile``, alone or as a part of a training step.
        """

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """Returns the function, compiled if the framework can; by default the function itself.

        ``function`` is a plain function of the core. The core calls the result with positional arguments, in several
        shapes, and with masks that may be None.

        ``consumes`` names the parameters whose memory may be reused; all others must stay as they are.

        The returned function raises MemoryError if memory runs out.
        """
        return function

    def notices(self) -> tuple[str, ...]:
        """Returns lines that the user should read before training, such as that a slow path will be taken."""
        return ()

    def device_memory_bytes(self) -> int | None:
        """Returns the peak memory of the device in this process, in bytes, or None on the processor.

        For a device other than ``cpu``, the value must be above 0 once a step has run, as proof that the device is
        used.
        """
        return None


def available_threads() -> int:
    """Returns the number of processors that this process may use, which can be fewer than the machine has."""
    return available_processors()


def float_dtype(precision: str) -> np.dtype[Any]:
    """Returns the NumPy type of weights, moments and losses in a precision; in bfloat16 they are float32."""
    return np.dtype(np.float64 if precision == "float64" else np.float32)
