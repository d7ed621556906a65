"""The interface of an engine: it starts workers, sends them calls, and reports which calls have ended.

An engine knows nothing about models. A worker has one service, an object created from a name and JSON values, and calls
its methods; arguments and results are JSON values and arrays by name. ``pool`` decides which block goes to which
worker, and what to do when one is lost; it is the same for every engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from charkit.backend import Array
from charkit.errors import CharkitError

Values = dict[str, Any]
Arrays = Mapping[str, Array]
#: Identifies a worker, a call or shared arrays; what it is belongs to the engine.
Handle = Any
#: Of any engine: more than a driver can feed.
MOST_WORKERS = 4_096


class WorkerLostError(CharkitError):
    """A worker ended, or can't be reached, before its call was answered. Another worker may answer it."""


class WorkerFailedError(CharkitError):
    """A worker answered a call with an error that any other worker would raise too."""


@dataclass(frozen=True, eq=False)
class Reply:
    """What a service's method returned."""

    values: Values
    arrays: dict[str, Array]


class Service(Protocol):
    """The object in a worker; its class is instantiated with keyword arguments that are JSON values."""

    def call(self, method: str, values: Values, arrays: Arrays, shared: Arrays) -> Reply:
        """Runs a call."""


class Engine(ABC):
    """Runs workers. Each worker runs one call at a time."""

    name: ClassVar[str]

    @classmethod
    def most_workers(cls, address: str | None) -> int:
        """How many workers may be asked for; more than that is a mistake, not a plan."""
        return MOST_WORKERS

    @classmethod
    @abstractmethod
    def connect(cls, address: str | None, processors: int, shared_bytes: int = 0) -> Engine:
        """Returns the engine, ready to start workers at ``address``; None is the engine's default.

        ``processors`` is the total number of threads of the workers, ``shared_bytes`` the size of the arrays that are
        shared at a time. Raises EngineError if the address can't be reached or there is no room for the arrays.
        """

    def notices(self) -> tuple[str, ...]:
        """What a user should know of where it runs, a line each."""
        return ()

    @abstractmethod
    def start_worker(self, service: str, values: Values) -> Handle:
        """Starts a worker with a service, ``"package.module:Class"``. Errors in creating the service surface in its
        first call.
        """

    @abstractmethod
    def stop_worker(self, worker: Handle) -> None:
        """Ends a worker, whatever it is doing; its calls end with WorkerLostError."""

    @abstractmethod
    def share(self, arrays: Arrays) -> Handle:
        """Makes arrays readable by every worker. Only the arrays of the last two calls stay available."""

    @abstractmethod
    def submit(
        self, worker: Handle, method: str, values: Values, arrays: Arrays, shared: Handle = None
    ) -> Handle:
        """Sends a call to a worker and returns immediately."""

    @abstractmethod
    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        """Waits for calls to end and returns them as soon as there is one, or none after the timeout."""

    @abstractmethod
    def result(self, call: Handle) -> Reply:
        """Returns the result of a call that has ended. Raises WorkerLostError or WorkerFailedError."""

    def capacity(self) -> str:
        """Describes the resources for workers, for users whose workers don't start; empty if unknown."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Ends every worker and releases the engine's resources. Calling it again does nothing."""
