"""The PyTorch backend: capabilities, primitives, and the builders of the four parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Backend, Backward, Forward, FunctionT, State, Weights
from charkit.batch_halves import BY_SEQUENCE, halves, joined
from charkit.config import ModelConfig, OptimizerConfig
from charkit_torch.framework import torch
from charkit_torch.loss import TorchLoss
from charkit_torch.lstm import TorchLstm
from charkit_torch.optimizer import TorchOptimizer
from charkit_torch.output import TorchOutput
from charkit_torch.threads import HalfThreads, can_limit, on_one_thread
from charkit_torch.user_settings import exact_products, without_modes

#: From so many sequences and multiplications, two halves are computed faster than the whole. Wide layers need more
#: sequences, a share of their units: half of a batch reads all weights. Measured with 16 to 2,048 units and 2 to 128
#: sequences, on two threads. Four or more remain for PyTorch to divide: that was not measured.
_LEAST_TO_DIVIDE, _LEAST_SHARE_OF_UNITS, _LEAST_WORK = 16, 1 / 8, 100e6
_MOST_THREADS = 3
#: Up to so many units and multiplications, one thread takes 0.9 to 1.1 times as long as two. Beside another program on
#: two processors, it is two to five times as fast. Wider layers gain from a second thread even with a single sequence.
#: Measured in float32.
_MOST_SMALL_UNITS, _MOST_SMALL_WORK = 128, 40e6


class TorchBackend(Backend[torch.Tensor]):
    """PyTorch's fused LSTM kernel on the canonical weights; half of a large batch on each of two threads."""

    name: ClassVar[str] = "torch"
    precisions: ClassVar[frozenset[str]] = frozenset({"float32", "float64", "bfloat16"})
    capabilities: ClassVar[frozenset[str]] = frozenset({"weight_decay"})
    bfloat16_rounds: ClassVar[str] = (
        "the LSTM's biases, the layer outputs, the state at each time step, and the gradients of the weights"
    )

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._device = torch.device(device)
        self._dtype = torch.float64 if precision == "float64" else torch.float32
        self._operands = torch.bfloat16 if precision == "bfloat16" else self._dtype
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self._halves = HalfThreads(self.threads)
        if self._device.type == "cuda" and precision != "bfloat16":
            # TF32 rounds the operands of float32 products to 10 bits, far outside the parity bound.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        if self._device.type == "cuda":
            # The weights are separate arrays here: cuDNN copies them together at each call, and warns about it.
            warnings.filterwarnings("ignore", message=".*not part of single contiguous chunk.*")

    def versions(self) -> dict[str, str]:
        found = {
            "torch": torch.__version__,
            "blas": "mkl" if torch.backends.mkl.is_available() else "not mkl",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
        if self._device.type == "cuda":
            found |= {
                "cuda": str(torch.version.cuda),
                "cudnn": str(torch.backends.cudnn.version()),
                "gpu": torch.cuda.get_device_name(self._device),
            }
        return found

    def device_memory_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """The function, without gradients but where it differentiates; memory that runs out becomes MemoryError.

        The user's modes, and what the user has chosen for PyTorch's products, don't apply to it.
        Where gradients are enabled, the fused kernel keeps what training needs, even if no weight requires a gradient.
        Evaluation then takes 1.1 to 1.8 times as long, and its last bits differ.
        """
        call: Callable[..., Any] = (
            self._by_halves(function) if isinstance(function, BY_SEQUENCE) else function
        )

        @wraps(function)
        def guarded(*arguments: Any) -> Any:
            try:
                with without_modes(self._device.type), torch.no_grad(), exact_products():
                    return call(*arguments)
            except RuntimeError as error:
                _raise_if_memory_ran_out(error)
                raise

        return cast(FunctionT, guarded)

    def _by_halves(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which treats each sequence by itself, of both halves of a batch that is large enough."""

        def call(weights: Weights[torch.Tensor], *batch: Any) -> Any:
            if not self._divides(weights, batch[0]):
                return self._undivided(weights, batch[0], partial(function, weights, *batch))
            return _joined(
                self._halves.results([partial(function, weights, *part) for part in halves(*batch)])
            )

        return call

    def _divides(self, weights: Weights[torch.Tensor], symbols: torch.Tensor) -> bool:
        """Whether halves of a batch of symbols ``(batch, time)`` are computed, on one thread as on two or three."""
        if not self._chooses_threads():
            return False
        least = max(_LEAST_TO_DIVIDE, _LEAST_SHARE_OF_UNITS * _units(weights))
        return len(symbols) >= least and _work(weights, symbols) >= _LEAST_WORK

    def _undivided(
        self, weights: Weights[torch.Tensor], symbols: torch.Tensor, call: Callable[[], Any]
    ) -> Any:
        """The result of a call for all sequences, on one thread if they are too few for more."""
        is_small = (
            self._chooses_threads()
            and _units(weights) <= _MOST_SMALL_UNITS
            and _work(weights, symbols) <= _MOST_SMALL_WORK
        )
        return on_one_thread(call) if is_small else call()

    def _chooses_threads(self) -> bool:
        """Whether the backend decides how many threads a call uses, and not PyTorch."""
        return self._device.type == "cpu" and self.threads <= _MOST_THREADS and can_limit()

    def build_lstm(self, model: ModelConfig) -> TorchLstm:
        with without_modes(self._device.type):  # it creates a tensor
            return TorchLstm(model, self._operands, self._device)

    def build_output(self, model: ModelConfig) -> TorchOutput:
        return TorchOutput(self._operands)

    def build_loss(self, model: ModelConfig) -> TorchLoss:
        return TorchLoss()

    def build_optimizer(self, optimizer: OptimizerConfig) -> TorchOptimizer:
        return TorchOptimizer(optimizer)

    def tensor(self, array: NDArray[Any]) -> torch.Tensor:
        array = np.asarray(array)
        dtype = self._dtype if array.dtype.kind == "f" else None
        try:
            with without_modes(self._device.type):
                return torch.tensor(_readable(array), dtype=dtype, device=self._device)
        except RuntimeError as error:
            _raise_if_memory_ran_out(error)
            raise

    def numpy(self, tensor: torch.Tensor) -> NDArray[Any]:
        try:
            return np.array(tensor.detach().cpu().numpy())
        except RuntimeError as error:
            _raise_if_memory_ran_out(error)
            raise

    def differentiate(self, forward: Forward[torch.Tensor]) -> Backward[torch.Tensor]:
        """The gradient, that of a large batch as the sum of two halves, except for shards.

        The halves are the same on one thread as on two or three, and are added in the same order.
        """

        def part(
            share: float, weights: Weights[torch.Tensor], *batch: Any
        ) -> tuple[Sequence[torch.Tensor], torch.Tensor, State[torch.Tensor]]:
            with torch.enable_grad():
                leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                nats, after = forward(leaves, *batch)
                gradients = torch.autograd.grad(nats.sum() * share, list(leaves.values()))
            return gradients, nats.detach(), State(after.hidden.detach(), after.cell.detach())

        def backward(
            weights: Weights[torch.Tensor],
            symbols: torch.Tensor,
            targets: torch.Tensor,
            state: State[torch.Tensor],
            masks: torch.Tensor | None,
        ) -> tuple[Weights[torch.Tensor], torch.Tensor, State[torch.Tensor]]:
            batch, share = (symbols, targets, state, masks), 1.0 / symbols.numel()
            if not (self.divides_batches and self._divides(weights, symbols)):
                gradients, nats, after = self._undivided(
                    weights, symbols, partial(part, share, weights, *batch)
                )
                return dict(zip(weights, gradients, strict=True)), nats, after
            first, second = self._halves.results(
                [partial(part, share, weights, *half) for half in halves(*batch)]
            )
            sums = (one + other for one, other in zip(first[0], second[0], strict=True))
            nats, after = _joined([first[1:], second[1:]])
            return dict(zip(weights, sums, strict=True)), nats, after

        return backward


def _units(weights: Weights[torch.Tensor]) -> int:
    """The units of each layer."""
    return weights["lstm.0.weight_hh"].shape[1]


def _work(weights: Weights[torch.Tensor], symbols: torch.Tensor) -> int:
    """The multiplications of a forward pass."""
    matrices = sum(weight.numel() for weight in weights.values() if weight.ndim > 1)
    chosen = weights["lstm.0.weight_ih"].numel()  # of whose columns each symbol takes one
    return symbols.numel() * (matrices - chosen)


def _joined(results: Sequence[Any]) -> Any:
    """Both halves of a result. Logits have the axes ``(batch, time, vocabulary)``."""
    return joined(results, lambda parts, axis: torch.cat(list(parts), axis), batch_axis_of_logits=0)


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """The array as PyTorch reads it: without negative strides, in the machine's byte order, at most 64 bits wide."""
    is_wider = array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize
    return np.asarray(array, np.float64 if is_wider else array.dtype.newbyteorder("="), order="C")


def _raise_if_memory_ran_out(error: RuntimeError) -> None:
    """Raises the MemoryError that the core knows, if that is what PyTorch's error means."""
    if isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error):
        raise MemoryError(" ".join(str(error).split())[:200]) from error
