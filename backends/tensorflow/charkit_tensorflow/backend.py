"""The TensorFlow backend: capabilities, primitives, and the builders of the four parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Backend, Backward, Forward, FunctionT, available_threads
from charkit.config import ModelConfig, OptimizerConfig
from charkit.errors import counted
from charkit_tensorflow.backward import TensorFlowBackward
from charkit_tensorflow.framework import ONEDNN, tf
from charkit_tensorflow.loss import TensorFlowLoss
from charkit_tensorflow.lstm import TensorFlowLstm
from charkit_tensorflow.optimizer import TensorFlowOptimizer
from charkit_tensorflow.output import TensorFlowOutput

#: How many functions are kept. Those of one network are six.
_KEPT = 96


class TensorFlowBackend(Backend[tf.Tensor]):
    """Graphs of plain TensorFlow operations, with the LSTM's gradient written out."""

    name: ClassVar[str] = "tensorflow"
    precisions: ClassVar[frozenset[str]] = frozenset({"float32", "float64", "bfloat16"})
    capabilities: ClassVar[frozenset[str]] = frozenset({"weight_decay"})
    bfloat16_rounds: ClassVar[str] = "the products themselves, except those of the output layer"

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu", *(f"cuda:{index}" for index in range(len(tf.config.list_physical_devices("GPU"))))]

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._on_cpu = device == "cpu"
        self._place = "/CPU:0" if self._on_cpu else f"/GPU:{device.removeprefix('cuda:')}"
        self._dtype = tf.float64 if precision == "float64" else tf.float32
        self._operands = tf.bfloat16 if precision == "bfloat16" else self._dtype
        self._asked_threads = threads
        self.threads = _settle_threads(self.threads)
        if not self._on_cpu:
            _settle_gpus(exact=precision != "bfloat16")

    def versions(self) -> dict[str, str]:
        found = {
            "tensorflow": tf.__version__,
            "onednn": ONEDNN,
            "threads_in_an_operation": str(tf.config.threading.get_intra_op_parallelism_threads()),
        }
        if not self._on_cpu:
            build = tf.sysconfig.get_build_info()
            gpu = tf.config.list_physical_devices("GPU")[int(self._place.rpartition(":")[2])]
            found |= {
                "cuda": str(build.get("cuda_version")),
                "cudnn": str(build.get("cudnn_version")),
                "gpu": str(tf.config.experimental.get_device_details(gpu).get("device_name")),
            }
        return found

    def notices(self) -> tuple[str, ...]:
        notices = []
        if self._asked_threads not in {None, self.threads}:
            notices.append(
                f"TensorFlow runs on {counted(self.threads, 'thread')}, not {self._asked_threads}: it fixes this "
                "number when a process first uses TensorFlow; to change it, start a new process with 1 thread or an "
                "even number of threads"
            )
        if not self._on_cpu:
            notices.append(
                "cuDNN's LSTM is not used: this backend has its own time loop and gradient, and has not been tested on "
                "a GPU"
            )
        return tuple(notices)

    def device_memory_bytes(self) -> int | None:
        if self._on_cpu:
            return None
        return int(tf.config.experimental.get_memory_info(self._place.removeprefix("/"))["peak"])

    def compile(self, function: FunctionT, *, consumes: Sequence[str] = ()) -> FunctionT:
        """The function as a graph for each set of shapes; memory that runs out becomes a MemoryError.

        The graphs are kept here and not in ``tf.function``, which takes longer to find one at each call than
        a sampled symbol takes, and warns of the shapes of an evaluation as of a mistake.
        """

        run = _graphs(function, self._place)

        @wraps(function)
        def guarded(*arguments: Any) -> Any:
            try:
                return run(*arguments)
            except tf.errors.ResourceExhaustedError as error:
                raise MemoryError(_out_of_memory(error)) from error

        return cast(FunctionT, guarded)

    def build_lstm(self, model: ModelConfig) -> TensorFlowLstm:
        return TensorFlowLstm(model, self._operands, halves=self._on_cpu)

    def build_output(self, model: ModelConfig) -> TensorFlowOutput:
        return TensorFlowOutput(self._operands)

    def build_loss(self, model: ModelConfig) -> TensorFlowLoss:
        return TensorFlowLoss()

    def build_optimizer(self, optimizer: OptimizerConfig) -> TensorFlowOptimizer:
        return TensorFlowOptimizer(optimizer)

    def tensor(self, array: NDArray[Any]) -> tf.Tensor:
        array = np.asarray(array)
        try:
            with tf.device(self._place):
                return tf.constant(array, dtype=self._dtype if array.dtype.kind == "f" else None)
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(_out_of_memory(error)) from error

    def numpy(self, tensor: tf.Tensor) -> NDArray[Any]:
        if isinstance(tensor, tuple):  # the logits of a single time step, which is not split
            (tensor,) = tensor
        try:
            return np.asarray(tensor.numpy())  # of its own memory; a scalar of NumPy's where it has no axes
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(_out_of_memory(error)) from error

    def differentiate(self, forward: Forward[tf.Tensor]) -> Backward[tf.Tensor]:
        return TensorFlowBackward(forward)


@lru_cache(maxsize=_KEPT)
def _graphs(function: Callable[..., Any], place: str) -> Callable[..., Any]:
    """The function as graphs that work on a device; those of an equal function, if there was one.

    A graph takes up to a second. The functions of the core are equal where they are made of equal parts.
    """

    @wraps(function)
    def placed(*arguments: Any) -> Any:
        with tf.device(place):
            return function(*arguments)

    traced = tf.function(placed, autograph=False)
    graphs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def run(*arguments: Any) -> Any:
        key = tuple(
            leaf if leaf is None else (leaf.dtype, *leaf.shape) for leaf in tf.nest.flatten(arguments)
        )
        if key not in graphs:
            graphs[key] = traced.get_concrete_function(*arguments)
        return graphs[key](*arguments)

    return run


def _settle_threads(wanted: int) -> int:
    """Sets TensorFlow's threads, where it has not started yet; returns how many are in use.

    Two operations run at once, one for each half of the batch, each on its share of the threads: so that
    no time step waits for threads to meet.
    """
    settings = tf.config.threading
    try:
        settings.set_inter_op_parallelism_threads(min(2, wanted))
        settings.set_intra_op_parallelism_threads(max(1, wanted // 2))
    except RuntimeError:  # it has started, and keeps what it started with
        pass
    at_once, each = settings.get_inter_op_parallelism_threads(), settings.get_intra_op_parallelism_threads()
    return min(2, at_once) * each if at_once and each else available_threads()


def _settle_gpus(*, exact: bool) -> None:
    """Lets TensorFlow take a GPU's memory as it needs it, and keeps it from rounding float32 operands."""
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # it has started, and keeps what it started with
            break
    if exact:
        # TF32 rounds the operands of float32 products to 10 bits, far outside the parity bound.
        tf.config.experimental.enable_tensor_float_32_execution(False)


def _out_of_memory(error: Exception) -> str:
    """What could not be allocated; the rest of the message is where the operation was traced."""
    found = re.search(r"OOM when allocating \S+ with shape\s*\S+ and type \w+", str(error))
    return found[0] if found else "TensorFlow ran out of memory"
