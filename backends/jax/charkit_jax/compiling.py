"""Compiled functions, shared by all networks of a process that are made of equal parts.

XLA takes a second for a training step. ``jax.jit`` knows a function again by its identity alone, and the core
composes new ones for each network; here they are known by what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from types import FunctionType
from typing import Any

import jax

#: How many functions are kept. Those of one network are six.
_KEPT = 96


def compiled(function: Callable[..., Any], donated: tuple[int, ...]) -> Callable[..., Any]:
    """The function under ``jax.jit``, with these of its positions donated; the one made before, if any."""
    composition = _Composition(function)
    try:
        hash(composition)
    except TypeError:  # its closure holds something that has no identity by value
        return _jit.__wrapped__(composition, donated)
    return _jit(composition, donated)


class _Composition:
    """A pure function, equal to others that do the same."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._made_of = _made_of(function)

    def __hash__(self) -> int:
        return hash(self._made_of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Composition) and self._made_of == other._made_of


def _made_of(value: Any) -> Hashable:
    """A function's code and what its closure holds, in turn; anything else stands for itself."""
    if not isinstance(value, FunctionType):
        return value  # type: ignore[no-any-return]
    held = tuple(_made_of(cell.cell_contents) for cell in value.__closure__ or ())
    return value.__code__, id(value.__globals__), value.__defaults__, held


@lru_cache(maxsize=_KEPT)
def _jit(composition: _Composition, donated: tuple[int, ...]) -> Callable[..., Any]:
    return jax.jit(composition.function, donate_argnums=donated)
