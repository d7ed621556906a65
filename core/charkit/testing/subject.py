"""The backend under test: an installed one by name, or what a function creates."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from charkit import plugins
from charkit.backend import Array, Backend, Moments
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.backend_parts import Parts, Updater, compiled_update

Factory = Callable[[str], Backend[Any]]
ValueT = TypeVar("ValueT")


class Resource(Protocol):
    """Something that has to be ended, such as a process."""

    def end(self) -> None:
        """Ends it."""


ResourceT = TypeVar("ResourceT", bound=Resource)
#: What OpenMP libraries read when they are loaded: how idle threads wait.
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
#: Long enough that threads stay awake within a training step, and short enough that they don't take the processor
#: from the kit's other processes. ``verify`` on PyTorch took 6.0 s with it, 6.7 s with 1,000, 6.3 s with 30,000 (the
#: backend's own), and 7.4 s if threads sleep at once (medians of three, two Intel cores).
_SPINS = "3000"
#: Precisions are checked in this order: float32, which every backend has, first.
_ORDER = {"float32": 0, "float64": 1, "bfloat16": 2}


@contextmanager
def _brief_waits() -> Iterator[None]:
    """A framework loaded here has idle threads that spin only briefly, unless the user has set how they wait.

    The environment is restored.
    """
    if any(name in os.environ for name in _WAITING):
        yield
        return
    os.environ[_WAITING[0]] = _SPINS
    try:
        yield
    finally:
        os.environ.pop(_WAITING[0], None)


@dataclass(frozen=True)
class Subject:
    """The backend under test: an installed one by name, or what ``factory(precision)`` creates."""

    name: str
    factory: Factory | None = None
    device: str | None = None
    threads: int | None = None
    _backends: dict[str, Backend[Any]] = field(default_factory=dict, repr=False, compare=False)
    _cache: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    _resources: list[Resource] = field(default_factory=list, repr=False, compare=False)

    def backend_class(self) -> type[Backend[Any]]:
        """The backend's class. Raises BackendError if it can't be found or imported."""
        return self.cached("class", self._backend_class)

    def _backend_class(self) -> type[Backend[Any]]:
        if self.factory is not None:
            return type(self.backend("float32"))
        with _brief_waits():
            return plugins.find(self.name).backend_class

    def precisions(self) -> tuple[str, ...]:
        """The precisions that the backend declares, float32 first."""
        return tuple(sorted(self.backend_class().precisions, key=lambda name: (_ORDER.get(name, 9), name)))

    def finest(self) -> str:
        """float64 if the backend declares it, otherwise float32: for checks that need only one precision."""
        return "float64" if "float64" in self.precisions() else "float32"

    def capabilities(self) -> frozenset[str]:
        """The capabilities that the backend declares; empty for versions of the contract without them."""
        return frozenset(getattr(self.backend_class(), "capabilities", ()))

    def new(self, precision: str) -> Backend[Any]:
        """Creates another backend, for checks that use several at once."""
        if self.factory is not None:
            return self.factory(precision)
        return plugins.create(self.name, precision=precision, device=self.device, threads=self.threads)

    def backend(self, precision: str) -> Backend[Any]:
        """The shared backend of that precision, created on first use."""
        if precision not in self._backends:
            self._backends[precision] = self.new(precision)
        return self._backends[precision]

    def created_backends(self) -> list[Backend[Any]]:
        """The shared backends that exist so far."""
        return list(self._backends.values())

    def cached(self, key: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """What ``make`` returned when the key was first used: results that several checks share.

        A result whose key is a tuple that contains a resource is forgotten when that resource ends.
        """
        if key not in self._cache:
            self._cache[key] = make()
        value: ValueT = self._cache[key]
        return value

    def end_later(self, resource: ResourceT) -> ResourceT:
        """Registers a resource for ``end`` to close, and returns it."""
        self._resources.append(resource)
        return resource

    def end(self, resource: Resource | None = None) -> None:
        """Ends one registered resource, or all of them, and drops each from the cache with the results made with it.

        A check may then start it again.
        """
        for ended in [other for other in self._resources if resource is None or other is resource]:
            self._resources.remove(ended)
            for key in [key for key, value in self._cache.items() if value is ended or _is_in(ended, key)]:
                del self._cache[key]
            ended.end()

    def parts(self, precision: str, model: ModelConfig, weights: Mapping[str, Array]) -> Parts:
        """The parts for a model with these weights, shared so that each shape compiles once."""
        parts = self.cached(
            ("parts", precision, model), lambda: Parts(self.backend(precision), model, weights)
        )
        parts.weights = parts.tensors(weights)
        return parts

    def updater(
        self,
        precision: str,
        optimizer: OptimizerConfig,
        weights: Mapping[str, Array],
        moments: Moments[Array] | None = None,
    ) -> Updater:
        """The optimizer on these weights; what is compiled is shared, so that each configuration compiles once."""
        backend = self.backend(precision)
        compiled = self.cached(("update", precision, optimizer), lambda: compiled_update(backend, optimizer))
        return Updater(backend, optimizer, weights, moments, compiled)


def _is_in(resource: Resource, key: Hashable) -> bool:
    return isinstance(key, tuple) and any(part is resource for part in key)
