"""The training loop and what prepares it. Names load when first used, so that plugins can import the interrupts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charkit.training.result import TrainResult as TrainResult
    from charkit.training.trainer import Trainer as Trainer

_MODULES = {"TrainResult": "charkit.training.result", "Trainer": "charkit.training.trainer"}
__all__ = ["TrainResult", "Trainer"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'charkit.training' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
