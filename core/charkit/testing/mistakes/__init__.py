"""The known mistakes: each is the oracle with one formula changed."""

from __future__ import annotations

from collections.abc import Iterator

from charkit.testing.mistakes import adam, biases, gates, gradients, state, weight_decay
from charkit.testing.mistakes.mistake import Mistake

__all__ = ["Mistake", "mistakes"]


def mistakes() -> Iterator[Mistake]:
    """Every known mistake; the gate orders last, since there are many."""
    for part in (biases, state, gradients, adam, weight_decay, gates):
        yield from part.MISTAKES
    yield from gates.gate_orders()
