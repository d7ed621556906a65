"""What an engine does: it starts workers, sends them calls, and says which have ended.

An engine knows nothing of models. A worker holds one service, an object that it makes from a name and plain values, and
calls its methods; what goes between is plain values, as JSON has them, and arrays by name. Which block goes to which
worker, and what is done when one is lost, is decided in ``pool``, the same for every engine.
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


class WorkerLostError(CharkitError):
    """A worker ended, or can't be reached, before its call was answered. Another worker may answer it."""


class WorkerFailedError(CharkitError):
    """A worker answered a call with an error, which another worker would give too."""


@dataclass(frozen=True, eq=False)
class Reply:
    """What a service's method returned."""

    values: Values
    arrays: dict[str, Array]


class Service(Protocol):
    """What a worker holds; its class is made with keyword arguments that JSON can hold."""

    def call(self, method: str, values: Values, arrays: Arrays, shared: Arrays) -> Reply:
        """Carries out a call."""


class Engine(ABC):
    """Runs workers somewhere. Calls of one worker are carried out one at a time."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def connect(cls, address: str | None, processors: int) -> Engine:
        """The engine, ready to start workers; ``address`` says where, and None is the engine's default.

        ``processors`` is how many threads the workers will have in all. Raises EngineError where it can't be reached.
        """

    @abstractmethod
    def start_worker(self, service: str, values: Values) -> Handle:
        """Starts a worker with a service, ``"package.module:Class"``. An error of it shows in its first call."""

    @abstractmethod
    def stop_worker(self, worker: Handle) -> None:
        """Ends a worker, whatever it does; calls to it end with WorkerLostError."""

    @abstractmethod
    def share(self, arrays: Arrays) -> Handle:
        """Makes arrays readable by every worker. Those shared twice before it are given up."""

    @abstractmethod
    def submit(
        self, worker: Handle, method: str, values: Values, arrays: Arrays, shared: Handle = None
    ) -> Handle:
        """Sends a call to a worker and returns at once."""

    @abstractmethod
    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        """The calls that have ended, as soon as there is one, or none when the time is over."""

    @abstractmethod
    def result(self, call: Handle) -> Reply:
        """What a call that has ended returned. Raises WorkerLostError or WorkerFailedError."""

    def capacity(self) -> str:
        """What there is for workers, in words, for a user whose workers don't start; empty if the engine can't say."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Ends every worker and releases what the engine holds. Does nothing the second time."""
