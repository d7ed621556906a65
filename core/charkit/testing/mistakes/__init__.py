"""The known mistakes: each is the oracle with one formula changed."""

from __future__ import annotations

from collections.abc import Iterator

from charkit.testing.mistakes import (
    adam,
    betas,
    bfloat16,
    biases,
    clipping,
    dropout,
    gates,
    gradients,
    loss,
    moments,
    other_optimizers,
    output,
    precision,
    state,
    unconfigured_decay,
    weight_decay,
)
from charkit.testing.mistakes.gate_orders import gate_orders
from charkit.testing.mistakes.mistake import Family, Mistake

__all__ = ["Family", "Mistake", "families", "gate_orders", "mistakes"]

_PARTS = (
    biases,
    state,
    dropout,
    output,
    gates,
    loss,
    gradients,
    clipping,
    moments,
    betas,
    other_optimizers,
    adam,
    weight_decay,
    precision,
    bfloat16,
)


def mistakes() -> Iterator[Mistake]:
    """Every known mistake without a parameter; the many orders of the gates are separate."""
    for part in _PARTS:
        yield from part.MISTAKES


def families() -> Iterator[Family]:
    """Every family of mistakes that differ in one parameter."""
    for part in (loss, gradients, adam, betas, unconfigured_decay):
        yield from part.FAMILIES
