"""What a known mistake is, and a family of mistakes that differ in one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from charkit.config import OptimizerConfig
from charkit.testing.least_squares import Scale
from charkit.testing.oracle import Oracle

#: The arrays that a backend gave, by the names under which they are compared.
Observed = Mapping[str, NDArray[Any]]


class Mistake(NamedTuple):
    """A known mistake: what it is called, where it is made, and the oracle that makes it."""

    name: str
    where: str
    oracle: type[Oracle]


class Family(NamedTuple):
    """Mistakes that differ in one number, which is found from the arrays that a backend gave.

    ``name`` may hold ``{value}``, the number found, and ``{asked}``, what the configuration has instead. With a
    scale the search begins at the best of ``starts`` and goes on between them; without one the number is one of
    ``starts``, which lie in the order of their effect: the first that changes nothing ends them.
    """

    name: str
    where: str
    oracle: Callable[[float], type[Oracle]]
    starts: Callable[[Observed], Sequence[float]]
    scale: Scale | None = None
    asked: Callable[[OptimizerConfig], float] | None = None
    special: tuple[
        str, ...
    ] = ()  # known mistakes that belong to this family: one that is found is named alone


def always(*starts: float) -> Callable[[Observed], Sequence[float]]:
    """The same starts, whatever was observed."""
    return lambda observed: starts
