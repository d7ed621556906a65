"""Keeps what the user has chosen in PyTorch from changing results: the precision of products, and modes of a thread.

The precision is that of products on the processor; ``TorchBackend`` sets those of a GPU when it is created.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from charkit_torch.framework import torch

#: PyTorch's own setting for the processor's products; older releases have one for all devices.
_PROCESSOR: Any = getattr(torch.backends.mkldnn, "matmul", None)
_HAS_OWN = hasattr(_PROCESSOR, "fp32_precision")
#: The names of full precision; the first one sets it.
_FULL = ("ieee", "none") if _HAS_OWN else ("highest",)


class _ExactProducts:
    """How many threads need float32 products with operands in float32.

    The setting is the process's: the first thread replaces it, and the last one puts it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), set[object](), _FULL[0]

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Float32 products are exact within it, whatever the user has chosen."""
        token = object()
        try:
            self._update(self._inside.add, token)
            yield
        finally:
            self._update(self._inside.discard, token)

    def _update(self, change: Callable[[object], None], token: object) -> None:
        """Adds or removes a thread that is inside."""
        with self._lock:
            change(token)
            self._apply()

    def end_all(self) -> None:
        """No thread is inside any more, as in a forked process."""
        self._lock = threading.Lock()
        self._inside.clear()
        self._apply()

    def _apply(self) -> None:
        """Replaces the setting where a thread needs that, or puts it back."""
        now = _precision()
        if self._inside and now not in _FULL:
            self._before = now
            _set_precision(_FULL[0])
        elif not self._inside and self._before not in _FULL:
            _put_precision_back(self._before)
            self._before = _FULL[0]


def _precision() -> str:
    return str(_PROCESSOR.fp32_precision if _HAS_OWN else torch.get_float32_matmul_precision())


def _set_precision(name: str) -> None:
    if _HAS_OWN:
        _PROCESSOR.fp32_precision = name
    else:
        torch.set_float32_matmul_precision(name)


def _put_precision_back(name: str) -> None:
    """Sets the precision to what it was; PyTorch does not show whether it was the processor's own or that of all."""
    if _HAS_OWN:
        _PROCESSOR.fp32_precision = "none"  # that of all devices applies
    if _precision() != name:
        _set_precision(name)


@contextmanager
def without_modes(device_type: str) -> Iterator[None]:
    """Turns off the modes of this thread that the user may have turned on: autocast and inference mode."""
    with ExitStack() as stack:
        if torch.is_autocast_enabled(device_type):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        yield


_products = _ExactProducts()
exact_products = _products.needed
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_products.end_all)
