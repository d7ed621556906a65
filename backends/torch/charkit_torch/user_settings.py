"""Keeps what the user has chosen in PyTorch from changing results: the precision of products, and modes of a thread."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from charkit_torch.framework import torch

#: PyTorch's own setting for the processor's products; older releases have one for all devices.
_PROCESSOR: Any = getattr(torch.backends.mkldnn, "matmul", None)
_HAS_OWN = hasattr(_PROCESSOR, "fp32_precision")
#: The names of full precision; the first one sets it.
_FULL = ("ieee", "none") if _HAS_OWN else ("highest",)


class _ExactProducts:
    """Float32 products have operands in float32 while any thread is inside.

    The setting is the process's: the first thread replaces it, and the last one puts it back.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets which threads are inside. In a forked process, none is."""
        self._lock, self.inside, self._before = threading.Lock(), 0, _FULL[0]

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            if self.inside == 1:
                self._before = _precision()
                _set_precision(_FULL[0])

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self.inside -= 1
            if not self.inside:
                _set_precision(self._before)


def _precision() -> str:
    return str(_PROCESSOR.fp32_precision if _HAS_OWN else torch.get_float32_matmul_precision())


def _set_precision(name: str) -> None:
    if _HAS_OWN:
        _PROCESSOR.fp32_precision = name
    else:
        torch.set_float32_matmul_precision(name)


def exact_products() -> AbstractContextManager[object]:
    """Within it, float32 products are exact, whatever the user has chosen. Nothing is changed if they are anyway.

    The setting is read before the number of threads inside: a thread that has replaced it is among them.
    """
    return nullcontext() if _precision() in _FULL and not _products.inside else _products


def without_modes(device_type: str) -> AbstractContextManager[object]:
    """Turns off the modes of this thread that the user may have turned on: autocast and inference mode."""
    stack = ExitStack()
    if torch.is_autocast_enabled(device_type):
        stack.enter_context(torch.autocast(device_type, enabled=False))
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    return stack


_products = _ExactProducts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_products.reset)
