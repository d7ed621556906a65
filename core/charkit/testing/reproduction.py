"""Holds the arrays that a backend gave against those that an oracle gives, right or mistaken."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import inf, log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from charkit.config import OptimizerConfig
from charkit.testing.oracle import Arrays, Floats, Oracle
from charkit.testing.tolerances import Compute, difference

#: A mistake must come nearer than the right numbers by this factor, however loose the bound is.
_NEARER = 5.0
#: Decimal digits that the elements which are off must offer together: one element in float32 or float64, and
#: four or five under the bounds of bfloat16, where one alone is matched by chance.
_EVIDENCE = 4.5


class Reproduction:
    """One failed comparison, to be made again with other oracles. Every gap is as ``difference`` has it."""

    def __init__(self, observed: Mapping[str, Any], compute: Compute, limit: float) -> None:
        self.limit = limit
        self._compute = compute
        self._called: set[str] = set()
        self._optimizers: list[OptimizerConfig] = []
        self.reference = _floats(compute(self._traced()))
        self.observed = {name: np.asarray(observed[name], np.float64) for name in self.reference}

    def with_another(self, observed: Mapping[str, Any], compute: Compute) -> Reproduction:
        """This comparison and another one together: only what explains both explains it."""
        return Reproduction(
            self.observed | _second(observed),
            lambda oracle: {**self._compute(oracle), **_second(compute(oracle))},
            self.limit,
        )

    @property
    def optimizer(self) -> OptimizerConfig:
        """The configuration that the comparison's oracle was made with."""
        return self._optimizers[0] if self._optimizers else OptimizerConfig()

    def arrays(self, oracle: type[Oracle]) -> Arrays:
        """What the comparison gives with this oracle. One that overrides nothing of use is not run."""
        return _floats(self._compute(oracle)) if self._concerns(oracle) else self.reference

    def gap(self, arrays: Arrays) -> float:
        """How far the furthest of the arrays that came is from these; infinite where one is missing or misshapen."""
        if arrays.keys() != self.observed.keys():
            return inf
        return max((_gap(came, arrays[name]) for name, came in self.observed.items()), default=inf)

    def explains(self, gap: float) -> bool:
        """Whether arrays that are this far away explain what came: within the bound, and nearer than the right ones."""
        return gap <= self.limit and gap <= self._right_gap / _NEARER and self._is_evidence

    def residuals(self, oracle: type[Oracle]) -> Floats:
        """What came minus what this oracle gives, each array in units of its largest; infinite where not finite."""
        arrays = self.arrays(oracle)
        if any(
            name not in arrays or arrays[name].shape != came.shape for name, came in self.observed.items()
        ):
            return np.full(1, inf)
        parts = [
            (came - arrays[name]).ravel() / (np.abs(self.reference[name]).max(initial=0.0) or 1.0)
            for name, came in self.observed.items()
        ]
        joined = np.concatenate(parts)
        return joined if np.isfinite(joined).all() else np.full(joined.shape, inf)

    def gaps(self) -> dict[str, float]:
        """How far each array that came is from the right one."""
        return {name: _gap(came, self.reference[name]) for name, came in self.observed.items()}

    @cached_property
    def _right_gap(self) -> float:
        return self.gap(self.reference)

    @cached_property
    def _is_evidence(self) -> bool:
        off = sum(
            int(
                np.count_nonzero(
                    ~(np.abs(came - right) <= self.limit * (np.abs(right).max(initial=0.0) or 1.0))
                )
            )
            for came, right in ((came, self.reference[name]) for name, came in self.observed.items())
        )
        return off * -log10(self.limit) >= _EVIDENCE

    def _concerns(self, oracle: type[Oracle]) -> bool:
        """Whether the oracle overrides any method that the comparison calls."""
        own = oracle.__mro__[: oracle.__mro__.index(Oracle)]
        return any(name in self._called for base in own for name in vars(base))

    def _traced(self) -> type[Oracle]:
        """The right oracle, which notes the methods that are called, and its configuration."""
        called, optimizers = self._called, self._optimizers

        class Traced(Oracle):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                optimizers.append(self.optimizer)

            def __getattribute__(self, name: str) -> Any:
                called.add(name)
                return super().__getattribute__(name)

        return Traced


def _second(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}, second case": array for name, array in arrays.items()}


def _floats(arrays: Mapping[str, ArrayLike]) -> Arrays:
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


def _gap(came: Floats, wanted: Floats) -> float:
    """The difference of the finite elements; infinite where the others, or the shapes, are not the same."""
    if came.shape != wanted.shape:
        return inf
    finite = np.isfinite(wanted)
    if not np.array_equal(came[~finite], wanted[~finite], equal_nan=True):
        return inf
    if not np.any(wanted[finite]):  # a share of nothing: anything else than nothing is as far away as can be
        return 1.0 if np.any(came[finite]) else 0.0
    return difference(came[finite], wanted[finite])
