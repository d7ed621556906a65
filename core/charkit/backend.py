"""The contract: what a framework brings so that the core can train, evaluate and sample a CharRNN on it.

A backend is four parts, each a pure function of tensors, and four primitives. The core composes them
once for all frameworks (``charkit.charrnn``). Conventions that bind every part:

- weights and moments are dictionaries by canonical name (``charkit.weights``), in canonical layout; the
  order of a dictionary means nothing;
- symbols and targets are int32 ``(batch, time)``; masks are bool ``(layer, batch, time, unit)``, true
  keeps, or None, which is also training without dropout; each array of the state is ``(layer, batch, unit)``;
- what the parts hand to each other (features, logits) may have the backend's own layout. Two things are
  fixed: nats come back as ``(batch, time)``, and the logits of one time step, copied out, hold
  ``batch * vocabulary`` numbers in that order, whatever their shape; no other logits are copied out;
- a step consumes weights and moments (they may be updated in place); it never consumes the state;
- a backend draws no random numbers and owns no learning-rate schedule.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from charkit.config import ModelConfig, OptimizerConfig

Tensor = TypeVar("Tensor")
Array = NDArray[Any]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Weights = dict[str, Tensor]


class State(NamedTuple, Generic[Tensor]):
    """What an LSTM carries from one batch to the next. Each array is ``(layer, batch, unit)``."""

    hidden: Tensor
    cell: Tensor


class Moments(NamedTuple, Generic[Tensor]):
    """Adam's running means, by canonical weight name: of the gradient, and of its square."""

    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]


class Rates(NamedTuple, Generic[Tensor]):
    """Scalars of one step, computed by the core in float64 and handed over as tensors of the precision."""

    learning_rate: Tensor
    bias_correction1: Tensor  # 1 - beta1**step
    bias_correction2: Tensor  # 1 - beta2**step


class Lstm(Protocol[Tensor]):
    """The stacked LSTM, dropout on every layer's output by the masks it is given."""

    def __call__(
        self, weights: Weights[Tensor], symbols: Tensor, state: State[Tensor], masks: Tensor | None, /
    ) -> tuple[Tensor, State[Tensor]]:
        """Returns the last layer's features, in the backend's own layout, and the new state."""


class Output(Protocol[Tensor]):
    """The projection onto the vocabulary."""

    def __call__(self, weights: Weights[Tensor], features: Tensor, /) -> Tensor:
        """Returns the logits, in the backend's own layout."""


class Loss(Protocol[Tensor]):
    """Softmax cross-entropy, symbol by symbol."""

    def __call__(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """Returns ``-log softmax(logits)[target]`` in nats, ``(batch, time)``."""


class Optimizer(Protocol[Tensor]):
    """Adam with clipping by the global norm, as DESIGN's one definition has it.

    With the capability ``weight_decay`` also decoupled weight decay (AdamW; Loshchilov and Hutter, 2019), of the
    arrays that ``charkit.weights.decays`` names:
    ``w <- w - learning_rate * weight_decay * w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)``, both terms from
    the weights before the step. Gradients, their norm, clipping and moments are the same with it as without.
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

        The dictionary of weights that comes back is a new object, also where its tensors were updated in
        place: what a backend prepared from weights is kept for exactly as long as the dictionary lives.
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
        """Returns the gradient of the MEAN nats by weight name, the nats ``(batch, time)``, the new state.

        A backend may give out the same memory for gradients at the next call; nats and state are fresh.
        """


class Backend(ABC, Generic[Tensor]):
    """One framework's four parts of a CharRNN, and the primitives to run them.

    A subclass sets ``name`` and ``precisions`` and implements every abstract method; one that is
    incomplete can't be instantiated.
    """

    name: ClassVar[str]
    precisions: ClassVar[frozenset[str]]
    #: What this backend rounds in bfloat16 beyond the operands of matrix products, in words.
    bfloat16_rounds: ClassVar[str] = ""
    #: What it has beyond contract 1.0, by the names in ``charkit.capabilities``. The core refuses a setting that
    #: needs a capability which is not declared here, before the backend is made; none is ignored in silence.
    capabilities: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @abstractmethod
    def devices(cls) -> list[str]:
        """The devices of this machine that the backend can use, such as ``cpu`` and ``cuda:0``; first is default."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        """Makes the backend ready. The core has checked precision and device against what is declared.

        ``threads`` is the number of processor threads to use, or None for the framework's own choice.
        A subclass calls this first, then prepares its framework, and corrects ``self.threads`` if the
        framework uses another number: it is recorded, since it may decide bits.
        """
        self.precision = precision
        self.device = device
        self.threads: int = threads or available_threads()

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The versions of the libraries that decide its numbers, by name; recorded with each session."""

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
        """Returns the optimiser's update."""

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Copies an array in. Floating-point arrays take the precision of the weights; int32 and bool stay."""

    @abstractmethod
    def numpy(self, tensor: Tensor) -> Array:
        """Copies a tensor out, as an array that the caller owns."""

    @abstractmethod
    def differentiate(self, forward: Forward[Tensor]) -> Backward[Tensor]:
        """Returns the function that gives the gradient of the mean of ``forward``'s nats."""

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """Returns the function, compiled where the framework can.

        ``function`` is a plain function of the core that is called with positional arguments; ``consumes``
        names those of its parameters whose memory may be reused. Memory that runs out is a MemoryError.
        """
        return function

    def notices(self) -> tuple[str, ...]:
        """Lines that the user should read before training starts, such as a slow path that will be taken."""
        return ()

    def device_memory_bytes(self) -> int | None:
        """The most memory of its device that this process has used, or None on a processor or where unknown."""
        return None


def available_threads() -> int:
    """The processors that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def float_dtype(precision: str) -> np.dtype[Any]:
    """The NumPy type of weights, moments and losses in a precision: bfloat16 keeps them in float32."""
    return np.dtype(np.float64 if precision == "float64" else np.float32)
