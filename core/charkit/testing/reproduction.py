"""Compares the arrays of a backend with those of an oracle, right or mistaken."""

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

#: A mistake must be closer than the right numbers by this factor, however loose the bound is.
_CLOSER = 5.0
#: Decimal digits that the wrong elements must offer together: one element in float32 or float64, and four or five
#: under the bounds of bfloat16, where one alone is matched by chance.
_EVIDENCE = 4.5


class Reproduction:
    """One failed comparison, repeated with other oracles. Gaps are those of ``difference``."""

    def __init__(self, observed: Mapping[str, Any], compute: Compute, limit: float) -> None:
        self.limit = limit
        self._compute = compute
        self._called: set[str] = set()
        self._optimizers: list[OptimizerConfig] = []
        self.reference = _floats(compute(self._traced()))
        self.observed = {name: np.asarray(observed[name], np.float64) for name in self.reference}

    def with_another(self, observed: Mapping[str, Any], compute: Compute) -> Reproduction:
        """This comparison and another one together: a mistake must explain both."""
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
        """The arrays of this oracle; those of the right one if it overrides no method that the comparison calls."""
        return _floats(self._compute(oracle)) if self._is_relevant(oracle) else self.reference

    def gap(self, arrays: Arrays) -> float:
        """The largest gap between the observed arrays and these; infinite if one is missing or has another shape."""
        if arrays.keys() != self.observed.keys():
            return inf
        return max((_gap(array, arrays[name]) for name, array in self.observed.items()), default=inf)

    def explains(self, gap: float) -> bool:
        """Whether arrays with this gap explain the observed ones: within the bound, and closer than the right ones."""
        return gap <= self.limit and gap <= self._right_gap / _CLOSER and self._is_evidence

    def residuals(self, oracle: type[Oracle]) -> Floats:
        """Observed minus computed, each array in units of its largest element; infinite if not finite."""
        arrays = self.arrays(oracle)
        if any(
            name not in arrays or arrays[name].shape != array.shape for name, array in self.observed.items()
        ):
            return np.full(1, inf)
        parts = [
            (array - arrays[name]).ravel() / (np.abs(self.reference[name]).max(initial=0.0) or 1.0)
            for name, array in self.observed.items()
        ]
        joined = np.concatenate(parts)
        return joined if np.isfinite(joined).all() else np.full(joined.shape, inf)

    def gaps(self) -> dict[str, float]:
        """The gap of each observed array to the right one."""
        return {name: _gap(array, self.reference[name]) for name, array in self.observed.items()}

    @cached_property
    def _right_gap(self) -> float:
        return self.gap(self.reference)

    @cached_property
    def _is_evidence(self) -> bool:
        wrong = 0
        for name, array in self.observed.items():
            right = self.reference[name]
            allowed = self.limit * (np.abs(right).max(initial=0.0) or 1.0)
            wrong += int(np.count_nonzero(~(np.abs(array - right) <= allowed)))
        return wrong * -log10(self.limit) >= _EVIDENCE

    def _is_relevant(self, oracle: type[Oracle]) -> bool:
        """Whether the oracle overrides any method that the comparison calls."""
        subclasses = oracle.__mro__[: oracle.__mro__.index(Oracle)]
        return any(name in self._called for cls in subclasses for name in vars(cls))

    def _traced(self) -> type[Oracle]:
        """The right oracle, recording the methods that are called and its configuration."""
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


def _gap(array: Floats, expected: Floats) -> float:
    """The difference of the finite elements; infinite if the others, or the shapes, differ."""
    if array.shape != expected.shape:
        return inf
    if 0.0 < np.abs(expected).max(initial=0.0) < inf:  # nearly always, and naming a mistake takes many gaps
        return difference(array, expected)
    finite = np.isfinite(expected)
    if not np.array_equal(array[~finite], expected[~finite], equal_nan=True):
        return inf
    if not np.any(expected[finite]):  # a relative difference from zero
        return 1.0 if np.any(array[finite]) else 0.0
    return difference(array[finite], expected[finite])
