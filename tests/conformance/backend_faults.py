"""Planted faults of a backend as a whole: what it declares, how arrays cross its border, threads and settings."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend


class OtherName(NumpyBackend):
    name = "other"


class NoVersions(NumpyBackend):
    """Tells of no library that its numbers depend on."""

    def versions(self) -> dict[str, str]:
        return {}


class NoDevices(NumpyBackend):
    @classmethod
    def devices(cls) -> list[str]:
        return []


class OddPrecisions(NumpyBackend):
    precisions = frozenset({"float64", "float128"})


class BfloatInName(NumpyBackend):
    """Declares bfloat16 and computes in float32."""

    precisions = frozenset({"float32", "bfloat16"})


class NoLoss(NumpyBackend):
    def build_loss(self, model: ModelConfig) -> Any:
        return None


class ForgetsPrecision(NumpyBackend):
    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self.precision = "float16"


class Transposing(NumpyBackend):
    def tensor(self, array: Any) -> Any:
        return super().tensor(np.asarray(array).T)


class AllFloating(NumpyBackend):
    def tensor(self, array: Any) -> Any:
        return np.array(array, dtype=self._dtype)


class NotCopyingIn(NumpyBackend):
    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return np.asarray(array, dtype=self._dtype if array.dtype.kind == "f" else array.dtype)


class NotCopyingOut(NumpyBackend):
    def numpy(self, tensor: Any) -> Any:
        return np.asarray(tensor)


class FusedDiffers(NumpyBackend):
    """Its compiled training step is not what its parts do one after the other."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        if function.__name__ != "train":
            return function

        def train(weights: Any, moments: Any, rates: Any, *rest: Any) -> Any:
            faster = rates._replace(bias_correction1=rates.bias_correction1 * 1.001)
            after, moments, state, nats, norm = function(weights, moments, faster, *rest)
            return after, moments, state, nats, norm * 1.001

        return train


class GlobalPrecision(NumpyBackend):
    """The precision of the backend that was made last is that of all."""

    last = np.dtype(np.float64)

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        GlobalPrecision.last = self._dtype

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return np.array(array, dtype=GlobalPrecision.last if array.dtype.kind == "f" else array.dtype)


class MainThreadOnly(NumpyBackend):
    """Rounds to half precision in any thread but the main one."""

    def tensor(self, array: Any) -> Any:
        tensor = super().tensor(array)
        main = threading.current_thread() is threading.main_thread()
        return tensor if main or tensor.dtype.kind != "f" else tensor.astype(np.float16).astype(tensor.dtype)


class CallableInOneThread(NumpyBackend):
    """What is compiled can be called by the thread that had it compiled, as objects of some libraries can."""

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        compiled, thread = super().compile(function, consumes=consumes), threading.get_ident()

        def run(*arguments: Any) -> Any:
            if threading.get_ident() != thread:
                raise RuntimeError("the session belongs to another thread")
            return compiled(*arguments)

        return run


class SetInOneThread(NumpyBackend):
    """Chooses the precision of its thread when it is created; other threads round to half precision."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        self._chosen = threading.local()
        self._chosen.precision = precision

    def tensor(self, array: Any) -> Any:
        tensor = super().tensor(array)
        chosen = hasattr(self._chosen, "precision")
        return (
            tensor if chosen or tensor.dtype.kind != "f" else tensor.astype(np.float16).astype(tensor.dtype)
        )


class Raising(NumpyBackend):
    def build_lstm(self, model: ModelConfig) -> Any:
        def broken(*arguments: Any) -> Any:
            raise ZeroDivisionError("planted in the LSTM")

        return broken
