"""The JAX backend: capabilities, primitives, and the builders of the four parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, wraps
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
from numpy.typing import NDArray

from charkit.backend import Backend, Backward, Forward, FunctionT, float_dtype
from charkit.config import ModelConfig, OptimizerConfig
from charkit_jax.backward import JaxBackward
from charkit_jax.donation import Donating
from charkit_jax.loss import JaxLoss
from charkit_jax.lstm import JaxLstm
from charkit_jax.optimizer import JaxOptimizer
from charkit_jax.output import JaxOutput
from charkit_jax.processor import gpus, processor

#: How many functions are kept. Those of one network are six.
_KEPT = 192
#: The options by which a user may have JAX log or refuse transfers between host and device, and what allows them.
_TRANSFER_GUARDS = (
    "jax_transfer_guard_host_to_device",
    "jax_transfer_guard_device_to_device",
    "jax_transfer_guard_device_to_host",
)
_WITH_TRANSFERS = {None, "allow", "log", "log_explicit"}


class JaxBackend(Backend[jax.Array]):
    """Every function of the core compiled whole by XLA.

    JAX knows 64-bit types by a setting of the process. Each entry point sets it for its own duration, to
    off as well as to on, so that networks of any precision live beside each other and beside user code.
    """

    name: ClassVar[str] = "jax"
    precisions: ClassVar[frozenset[str]] = frozenset({"float32", "float64", "bfloat16"})
    capabilities: ClassVar[frozenset[str]] = frozenset({"weight_decay"})

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", *(f"cuda:{index}" for index in range(len(gpus())))]

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._asked_threads = threads
        cpu, self.threads = processor(threads, otherwise=self.threads)
        self._device = cpu if device == "cpu" else gpus()[int(device.partition(":")[2])]
        self._dtype = float_dtype(precision)
        self._operands = np.dtype(jnp.bfloat16) if precision == "bfloat16" else self._dtype

    def versions(self) -> dict[str, str]:
        found = {"jax": jax.__version__, "jaxlib": jaxlib.version.__version__}
        if self._device.platform != "cpu":
            found["cuda"] = self._device.client.platform_version
            found["gpu"] = self._device.device_kind
        return found

    def notices(self) -> tuple[str, ...]:
        if self._asked_threads in {None, self.threads}:
            return ()
        return (
            f"JAX runs on {self.threads} thread{'' if self.threads == 1 else 's'}, not {self._asked_threads}: it fixes "
            "this number when a process first uses JAX; to change it, start a new process",
        )

    def device_memory_bytes(self) -> int | None:
        peak = (self._device.memory_stats() or {}).get("peak_bytes_in_use")  # a processor has no statistics
        return None if peak is None else int(peak)

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """The function under ``jax.jit``; the memory of what it consumes is donated to its results."""
        call = _jitted(function, tuple(consumes), self._device.platform)

        @wraps(function)
        def run(*arguments: Any) -> Any:
            with self._settings():
                return call(*arguments)

        return cast(FunctionT, run)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """What holds while this backend works; memory that runs out becomes a MemoryError."""
        try:
            with jax.enable_x64(self.precision == "float64"), _with_transfers():
                yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower():
                raise MemoryError(" ".join(str(error).split())[:200]) from error
            raise

    def build_lstm(self, model: ModelConfig) -> JaxLstm:
        return JaxLstm(model, self._operands, scatter=self._device.platform == "cpu")

    def build_output(self, model: ModelConfig) -> JaxOutput:
        return JaxOutput(self._operands)

    def build_loss(self, model: ModelConfig) -> JaxLoss:
        return JaxLoss()

    def build_optimizer(self, optimizer: OptimizerConfig) -> JaxOptimizer:
        return JaxOptimizer(optimizer)

    def tensor(self, array: NDArray[Any]) -> jax.Array:
        array = np.asarray(array)
        dtype = self._dtype if array.dtype.kind == "f" else array.dtype
        # JAX may use an aligned array's own memory, and read it later: so it gets a copy.
        own = np.array(array, dtype=dtype, order="C")
        if own.dtype.kind == "i":
            # Symbols: a compiled call takes them over itself, and need not wait for them.
            return cast(jax.Array, own)
        with self._settings():
            tensor: jax.Array = jax.device_put(own, self._device)
        return tensor

    def numpy(self, tensor: jax.Array) -> NDArray[Any]:
        with self._settings():
            # Waits, and raises what went wrong; NumPy alone would read memory that may not exist, and crash.
            return np.array(jax.block_until_ready(tensor))  # type: ignore[no-untyped-call]

    def differentiate(self, forward: Forward[jax.Array]) -> Backward[jax.Array]:
        return JaxBackward(forward)


def _with_transfers() -> AbstractContextManager[object]:
    """Allows transfers between host and device if the user does not, since symbols go in as NumPy arrays."""
    if all(getattr(jax.config, name) in _WITH_TRANSFERS for name in _TRANSFER_GUARDS):
        return nullcontext()
    return cast(AbstractContextManager[object], jax.transfer_guard("allow"))


@lru_cache(maxsize=_KEPT)
def _jitted(function: Callable[..., Any], consumes: tuple[str, ...], platform: str) -> Callable[..., Any]:
    """The function under ``jax.jit``; that of an equal function, if there was one.

    XLA takes a second for a training step, and ``jax.jit`` knows a function again by its identity alone. Those of the
    core are equal where they are made of equal parts.
    """

    @wraps(function)
    def traced(*arguments: Any) -> Any:
        # Not what the user has set for code of their own, such as an error for every array that is broadcast.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return function(*arguments)

    if not consumes:
        return jax.jit(traced)
    return Donating(traced, consumes, reserve=platform == "cpu")
