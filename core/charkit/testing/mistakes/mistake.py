"""Known mistakes, and families of mistakes that differ in one parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from charkit.config import OptimizerConfig
from charkit.testing.least_squares import Scale
from charkit.testing.oracle import Oracle

#: The arrays of a backend, by the names under which they are compared.
Observed = Mapping[str, NDArray[Any]]


class Mistake(NamedTuple):
    """A known mistake: its name, where to look, and the oracle that makes it."""

    name: str
    where: str
    oracle: type[Oracle]


class Family(NamedTuple):
    """Mistakes that differ in one parameter, which is found from the arrays of a backend.

    ``name`` may hold ``{value}``, the parameter found, and ``{configured}``, the configuration's value. With a scale,
    the parameter is fitted, beginning at the best of ``starts``. Without one it is one of ``starts``, in decreasing
    order of their effect; the first without an effect ends them.
    """

    name: str
    where: str
    oracle: Callable[[float], type[Oracle]]
    starts: Callable[[Observed], Sequence[float]]
    scale: Scale | None = None
    configured: Callable[[OptimizerConfig], float] | None = None
    #: Known mistakes that are members of this family: if one is found, it is named instead.
    special: tuple[str, ...] = ()


def always(*starts: float) -> Callable[[Observed], Sequence[float]]:
    """The same starts for all arrays."""
    return lambda observed: starts
