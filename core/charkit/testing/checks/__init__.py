"""The checks, one module per stage or two. Importing a module registers its checks."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "contact",
    "declarations",
    "arrays",
    "surroundings",
    "forward",
    "loss",
    "gradients",
    "optimiser",
    "capabilities",
    "training",
    "processes",
    "growth",
    "learning",
    "keeping",
    "sampling",
    "robustness",
    "sizes",
)


def load() -> None:
    """Registers every check."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
