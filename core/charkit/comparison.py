"""``charkit.compare`` and its types. They load when they are first used, since they are a package of their own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charkit_comparison import ComparisonReport, Report, Variant, compare

__all__ = ["ComparisonReport", "Report", "Variant", "compare"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'charkit.comparison' has no attribute {name!r}")
        return getattr(import_module("charkit_comparison"), name)


def __dir__() -> list[str]:
    return list(__all__)
