"""Compiled functions that take over the memory of arguments, but only if they have the memory to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from time import perf_counter, sleep
from typing import Any

import jax
import numpy as np

#: XLA frees the memory of a call some time after its results can be read (600 MB: 40 ms).
_FREEING_SECONDS = 1.0


class Donating:
    """A function under ``jax.jit``; the memory of what it consumes is donated to its results.

    JAX computes later, and by then donated arrays are lost. On a processor, XLA allocates the memory of a whole call
    when it begins. With ``reserve`` a call therefore reserves that memory first, and raises MemoryError while its
    arguments are still there.
    """

    def __init__(self, function: Callable[..., Any], consumes: Sequence[str], *, reserve: bool) -> None:
        self._reserve = reserve
        names = list(inspect.signature(function).parameters)
        self._call = jax.jit(function, donate_argnums=tuple(names.index(name) for name in consumes))
        self._bytes: dict[Hashable, int] = {}

    def __call__(self, *arguments: Any) -> Any:
        if self._reserve:
            needed = self._needed_bytes(arguments)
            if not _is_free(needed):  # the previous call may still hold as much
                _await_memory(needed, arguments)
        return self._call(*arguments)

    def _needed_bytes(self, arguments: tuple[Any, ...]) -> int:
        """What a call allocates: its temporary memory, and results that take over no argument's memory."""
        leaves, structure = jax.tree.flatten(arguments)
        key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._bytes:
            # ``jax.jit`` will find what is compiled here, and not compile it again.
            self._bytes[key] = _allocated_bytes(self._call.lower(*arguments).compile().memory_analysis())
        return self._bytes[key]


def _allocated_bytes(memory: Any) -> int:
    """The bytes that a call allocates, by XLA's analysis of it; 0 if there is none."""
    if memory is None:
        return 0
    results: int = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return results + int(memory.temp_size_in_bytes)


def _await_memory(size: int, arguments: tuple[Any, ...]) -> None:
    """Waits until the previous call has ended and freed its memory; raises MemoryError if that is not enough."""
    jax.block_until_ready(arguments)  # type: ignore[no-untyped-call]
    deadline = perf_counter() + _FREEING_SECONDS
    while not _is_free(size):
        if perf_counter() > deadline:
            raise MemoryError(f"JAX needs {size:,} bytes of memory for one call, more than is free")
        sleep(0.01)


def _is_free(size: int) -> bool:
    """Whether this many bytes can be allocated; they are freed again, for XLA."""
    try:
        np.empty(size, np.uint8)
    except MemoryError:
        return False
    return True
