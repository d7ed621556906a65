"""Which values a trial has: the next of a grid, drawn at random, or suggested by what came of the trials before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from charkit.randomness import Purpose, uniform
from charkit_sweep.axes import Value
from charkit_sweep.spec import SweepSpec
from charkit_sweep.tpe import Observation, suggested


def values_of(spec: SweepSpec, number: int, observations: Sequence[Observation]) -> dict[str, Value]:
    """The values of the axes for trial ``number``, counted from 1.

    ``observations`` are the trials before it, which decide where the search is "tpe". The same arguments give the same
    values, in any process. Raises ConfigurationError where Optuna is needed and not installed.
    """
    if spec.search == "tpe":
        return suggested(spec, number, observations)
    if spec.search == "random":
        draws = uniform(spec.search_seed, Purpose.SEARCH, number, size=len(spec.axes))
        return {axis.key: axis.at(float(draw)) for axis, draw in zip(spec.axes, draws, strict=True)}
    in_order = spec.trials is None or spec.is_grid_in_order
    return _of_grid(spec, number - 1 if in_order else _drawn_order(spec)[number - 1])


def _of_grid(spec: SweepSpec, index: int) -> dict[str, Value]:
    """The values at an index of the grid; the last axis changes fastest."""
    found: dict[str, Value] = {}
    for axis in reversed(spec.axes):
        assert axis.values is not None, "a grid has no range without steps"
        index, place = divmod(index, len(axis.values))
        found[axis.key] = axis.values[place]
    return {axis.key: found[axis.key] for axis in spec.axes}


def _drawn_order(spec: SweepSpec) -> tuple[int, ...]:
    """The grid in an order that is drawn: the first of it are a sample of all, without repeats."""
    return _shuffled(spec.search_seed, spec.grid_size)


@lru_cache(maxsize=4)
def _shuffled(seed: int, size: int) -> tuple[int, ...]:
    draws = uniform(seed, Purpose.SEARCH, 0, size=size)
    return tuple(np.argsort(draws, kind="stable").tolist())
