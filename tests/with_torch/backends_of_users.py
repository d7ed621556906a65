"""Backends that follow what a user sets in PyTorch, or change it, as an installed distribution has them.

The tests copy this file, and don't import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from charkit_torch.backend import TorchBackend
from charkit_torch.lstm import TorchLstm
from charkit_torch.threads import _setters
from charkit_torch.user_settings import exact_products, without_modes


class Following(TorchBackend):
    name = "following"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        if precision == "float32":
            self._dtype = torch.get_default_dtype()


class OnDefaultDevice(TorchBackend):
    name = "on-default-device"

    def build_loss(self, model: Any) -> Any:
        inner = super().build_loss(model)
        return lambda logits, targets: inner(logits, targets) + torch.zeros(targets.shape, dtype=self._dtype)


class NeedsGradients(TorchBackend):
    name = "needs-gradients"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments: Any) -> Any:
            if not torch.is_grad_enabled():
                raise RuntimeError("element 0 of tensors does not require grad")
            return inner(*arguments)

        return compiled


class EnablesGradients(TorchBackend):
    name = "enables-gradients"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments: Any) -> Any:
            torch.set_grad_enabled(False)
            try:
                return inner(*arguments)
            finally:
                torch.set_grad_enabled(True)

        return compiled


class OnDefaultDeviceWithManySymbols(TorchBackend):
    name = "on-default-device-with-many-symbols"

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(*arguments: Any) -> Any:
            features, state = inner(*arguments)
            many = model.vocabulary_size > 4 * model.lstm_size
            return features + torch.zeros(1, dtype=self._dtype) if many else features, state

        return lstm


class WithProductsOfTheUser(TorchBackend):
    name = "with-products-of-the-user"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        def compiled(*arguments: Any) -> Any:
            with without_modes("cpu"), torch.no_grad():
                return function(*arguments)

        return compiled


class UntilAnyCallEnds:
    """Exact products in a backend that does not count the calls inside."""

    before: Any = None

    def __enter__(self) -> None:
        if self.before is None:
            type(self).before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            torch.set_float32_matmul_precision(self.before)
        type(self).before = None


class ExactUntilAnyCallEnds(TorchBackend):
    name = "exact-until-any-call-ends"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        def compiled(*arguments: Any) -> Any:
            with without_modes("cpu"), torch.no_grad(), UntilAnyCallEnds():
                return function(*arguments)

        return compiled


class PutsPrecisionBack(TorchBackend):
    name = "puts-precision-back"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments: Any) -> Any:
            matmul = torch.backends.mkldnn.matmul
            before = matmul.fp32_precision
            try:
                return inner(*arguments)
            finally:
                matmul.fp32_precision = before

        return compiled


class WithAutocastOfTheUser(TorchBackend):
    name = "with-autocast-of-the-user"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        def compiled(*arguments: Any) -> Any:
            with torch.no_grad(), exact_products():
                return function(*arguments)

        return compiled


class WithModesOfTheUser(TorchBackend):
    name = "with-modes-of-the-user"

    def tensor(self, array: Any) -> Any:
        return torch.tensor(
            array, dtype=self._dtype if array.dtype.kind == "f" else None, device=self._device
        )


class OneOperation(TorchBackend):
    name = "one-operation"

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        super().__init__(precision=precision, device=device, threads=threads)
        with suppress(RuntimeError):  # PyTorch has started them
            torch.set_num_interop_threads(1)


class WithoutADeterministicWay(TorchBackend):
    name = "without-a-deterministic-way"

    def build_lstm(self, model: Any) -> Any:
        return _OneHotByPut(super().build_lstm(model))


class _OneHotByPut:
    """Writes one-hot symbols with an operation that PyTorch refuses where the user wants deterministic ones."""

    def __init__(self, inner: TorchLstm) -> None:
        self._inner = inner

    def __call__(self, weights: Any, symbols: Any, *rest: Any) -> Any:
        ones = torch.ones(symbols.numel(), dtype=torch.float32, device=symbols.device)
        torch.zeros_like(ones).put_(torch.arange(len(ones), device=symbols.device), ones)
        return self._inner(weights, symbols, *rest)


class LeavesOneThreadInMkl(TorchBackend):
    name = "leaves-one-thread-in-mkl"

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments: Any) -> Any:
            setters = _setters()
            assert setters is not None
            setters.mkl(1)
            return inner(*arguments)

        return compiled


class RemembersTheThreads(TorchBackend):
    """Gives PyTorch the threads of its first small call back after every one."""

    name = "remembers-the-threads"
    _usual: int | None = None

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments: Any) -> Any:
            self._usual = self._usual or torch.get_num_threads()
            try:
                return inner(*arguments)
            finally:
                torch.set_num_threads(self._usual)

        return compiled
