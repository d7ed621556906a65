"""This is the contract between charkit and a backend, which connects charkit to one numerical framework.

A backend consists of four parts, each a function of tensors without side effects, and four primitives. The core
composes them in the same way for every framework (``charkit.network``). The following conventions apply to every part:

- Weights and moments are dictionaries keyed by canonical name (``charkit.weights``); their arrays have the canonical
  layout. The order of a dictionary has no meaning.
- Symbols and targets are int32 arrays of shape ``(batch, time)``. Each array of the state has the shape
  ``(layer, batch, unit)``.
- Masks are either None or bool arrays of shape ``(layer, batch, time, unit)``, where True means that the output is
  kept. They are None in evaluation and in training without dropout; in those cases, nothing is scaled.
- Features and logits may have the backend's own layout. Two things are fixed: the losses, called nats after their
  unit, have the shape ``(batch, time)``, and the logits of one time step, when copied out, are ``batch * vocabulary``
  numbers in batch-major order, whatever the shape of the array. No other logits are copied out.
- A step consumes the weights and moments, which may be updated in place. It never consumes the state.
- A backend draws no random numbers and has no learning-rate schedule. The same call always gives the same bits.
- Several backends, possibly with different precisions, may exist in one process, and a network may be used in a
  thread other than the one that created it, even after the main thread has ended. Only one thread at a time calls a
  backend, but two backends may be called at the same time. A backend must not change any process-wide default, nor
  depend on one that the user may have set, such as a framework's default dtype or device, the precision of its matrix
  products, or a mode such as autocast. While a function that ``compile()`` returned is running, and while weights,
  moments, states or rates are copied into tensors, NumPy ignores floating-point errors.
- The core never writes to an array after passing it to ``tensor()``.
- Threads that a backend starts must ignore floating-point errors as well (NumPy's setting applies to a single thread),
  and must not keep the process alive after its main program has ended.
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
    """The state that an LSTM carries from batch to batch: unmasked arrays of shape ``(layer, batch, unit)``."""

    hidden: Tensor
    cell: Tensor


class Moments(NamedTuple, Generic[Tensor]):
    """Adam's running means of the gradient and of its square, keyed by canonical weight name."""

    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]


class Rates(NamedTuple, Generic[Tensor]):
    """The scalars of one step, computed by the core in float64 and passed as tensors of the weights' data type."""

    learning_rate: Tensor
    bias_correction1: Tensor  # 1 - beta1**step
    bias_correction2: Tensor  # 1 - beta2**step


class Lstm(Protocol[Tensor]):
    """The stacked LSTM, with dropout on the output of every layer.

    For each layer and time step, with the gates i, f, g and o as the four blocks of z, in this order:

        z = weight_ih x_t + weight_hh h_{t-1} + bias
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)
        output_t = h_t * mask_t / (1 - dropout)

    ``x`` is the one-hot symbol for layer 0 and the output of the layer below for every other layer. Masks apply to
    the output of every layer, including the last; the carried ``h`` is not masked.
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
    """The softmax cross-entropy of each symbol. It must not overflow, however large the logits are."""

    def __call__(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """Returns ``-log softmax(logits)[target]`` in nats, with the shape ``(batch, time)``."""


class Optimizer(Protocol[Tensor]):
    """Clipping by the global norm, then Adam (Kingma and Ba, 2015).

    Every gradient is scaled by the same factor. The norm is taken over all gradients together, without an epsilon.
    ``clip_threshold`` is ``grad_clip``, or infinity if that is 0:

        g = gradient * min(1, clip_threshold / norm)
        m = beta1 * exp_avg + (1 - beta1) * g
        v = beta2 * exp_avg_sq + (1 - beta2) * g**2
        step = (m / bias_correction1) / (sqrt(v / bias_correction2) + epsilon)
        weight = weight - learning_rate * step

    The learning rate and the bias corrections come from ``rates``. A norm that is not finite is returned unchanged,
    so that the core can detect it.

    With the capability ``weight_decay``, the optimizer also applies decoupled weight decay (AdamW; Loshchilov and
    Hutter, 2019) to the arrays for which ``charkit.weights.decays`` returns True. Both terms (the decay and Adam's
    update) use the weights from before the step; gradients, norm, clipping and moments are the same as without weight
    decay. The two terms are added before they are subtracted because a factor ``1 - learning_rate * weight_decay``
    would be rounded, which would distort a small decay, or even remove it, for all weights alike. The formula is:

        weight = weight - learning_rate * (weight_decay * weight + step)
    """

    def __call__(
        self,
        weights: Weights[Tensor],
        moments: Moments[Tensor],
        gradients: Weights[Tensor],
        rates: Rates[Tensor],
        /,
    ) -> tuple[Weights[Tensor], Moments[Tensor], Tensor]:
        """Returns the new weights, the new moments, and the global norm before clipping (a scalar).

        The returned dictionary of weights is a new object, even if its tensors were updated in place. A backend may
        therefore cache anything that it has derived from the weights for as long as the dictionary exists or until the
        backend is called with another dictionary.
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
        """Returns the nats of each symbol, with the shape ``(batch, time)``, and the new state."""


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
        """Returns three values: the gradient of the MEAN of the nats, keyed by weight name; the nats, of shape
        ``(batch, time)``; and the new state.

        No gradient flows into the state that is passed in. The returned nats and state must not belong to a graph: a
        state that kept its history would keep every earlier step in memory.

        The next call may reuse the memory of the gradients, but not that of the nats and the state.
        """


class Backend(ABC, Generic[Tensor]):
    """The four parts of a CharRNN in one framework, and the primitives that run them.

    A subclass sets ``name`` and ``precisions`` and implements every abstract method; an incomplete one can't be
    instantiated.
    """

    #: The name of the backend, which is also the name of its entry point.
    name: ClassVar[str]
    #: The precisions that the backend supports: float32, which is required, and optionally float64 and bfloat16. The
    #: core rejects a precision that is not declared here.
    precisions: ClassVar[frozenset[str]]
    #: A description of what the backend rounds in bfloat16 besides the operands of matrix products. Unless the
    #: description mentions logits, neither the logits nor the output bias is rounded.
    bfloat16_rounds: ClassVar[str] = ""
    #: The backend's features beyond contract 1.0, as named in ``charkit.capabilities``. Before the core creates the
    #: backend, it rejects any setting that needs a capability not declared here; no setting is silently ignored.
    capabilities: ClassVar[frozenset[str]] = frozenset()
    #: Whether the backend may divide batches between threads. The core sets it to False while batches are shards of
    #: larger ones, since dividing a shard would make its matrix products less efficient. The value may affect the last
    #: bits of a result, and may change: the function that ``differentiate`` returns must read it on each call.
    divides_batches: bool = True

    @classmethod
    @abstractmethod
    def devices(cls) -> list[str]:
        """Returns the usable devices on this machine, such as ``cpu`` and ``cuda:0``; the first is the default.

        ``cpu`` is the processor. Any other device reports its memory through ``device_memory_bytes``.
        """

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        """Prepares the backend for one precision, device and number of threads.

        The core has already checked that the precision and the device are declared. A subclass's ``__init__`` must call
        this method first.

        ``threads`` is the number of CPU threads to use, or None for the framework's own choice. If the framework
        uses a different number, the subclass sets ``self.threads`` to that number. The number is recorded with each
        session because it can affect the last bits of a result.
        """
        self.precision = precision
        self.device = device
        self.threads: int = threads or available_threads()

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that determine the results, keyed by library name. They are recorded
        with each session and must be the same in every process, whatever else it has imported.
        """

    @abstractmethod
    def build_lstm(self, model: ModelConfig) -> Lstm[Tensor]:
        """Returns the function that computes the stacked LSTM."""

    @abstractmethod
    def build_output(self, model: ModelConfig) -> Output[Tensor]:
        """Returns the function that computes the projection onto the vocabulary."""

    @abstractmethod
    def build_loss(self, model: ModelConfig) -> Loss[Tensor]:
        """Returns the function that computes the loss of each symbol."""

    @abstractmethod
    def build_optimizer(self, optimizer: OptimizerConfig) -> Optimizer[Tensor]:
        """Returns the function that updates the weights."""

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Copies an array into a tensor. Floating-point arrays are converted to the type of the weights; int32 and bool
        arrays keep their type. The array may be read-only and may have any strides; a floating-point array may have any
        byte order. Raises MemoryError if the copy does not fit in memory.
        """

    @abstractmethod
    def numpy(self, tensor: Tensor) -> Array:
        """Copies a tensor into an array that the caller owns and may write to.

        Raises MemoryError if the copy does not fit in memory.
        """

    @abstractmethod
    def differentiate(self, forward: Forward[Tensor]) -> Backward[Tensor]:
        """Returns the function that computes the gradient of the mean of the nats that ``forward`` returns.

        The core may pass the result to ``compile``, alone or as part of a training step.
        """

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """Returns the function, compiled if the framework can compile it. The default returns the function itself.

        ``function`` is a plain Python function from the core. The core calls the result with positional arguments of
        varying shapes, and with masks that may be None.

        ``consumes`` names the parameters whose memory may be reused; all other arguments must be left unchanged.

        The returned function raises MemoryError if it runs out of memory. If a call ends with an exception,
        including KeyboardInterrupt, it leaves nothing behind: no lock, no recording of operations, no changed
        setting, and no reference to the exception, whose traceback would keep the call's memory allocated.
        """
        return function

    def notices(self) -> tuple[str, ...]:
        """Returns lines that the user should read before training, such as a warning about a slow code path."""
        return ()

    def device_memory_bytes(self) -> int | None:
        """Returns the peak device memory used by this process, in bytes, or None for ``cpu``.

        For a device other than ``cpu``, the value must be above 0 once a step has run, as proof that the device is
        in use.
        """
        return None


def available_threads() -> int:
    """Returns the number of processors that this process may use. The machine may have more."""
    return available_processors()


def float_dtype(precision: str) -> np.dtype[Any]:
    """Returns the NumPy dtype of weights, moments and losses for the given precision. For bfloat16, it is float32."""
    return np.dtype(np.float64 if precision == "float64" else np.float32)
