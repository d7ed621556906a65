"""An engine inside of this process, whose workers can be lost, late, or unlike each other, as a test plans it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from charkit.distributed.engine import Arrays, Engine, Handle, Reply, Values, WorkerLostError
from charkit.distributed.services import ServiceHolder

#: Decides how a call ends, from the worker's number and its number of calls: answered, lost, or held back.
Fate = Callable[[int, int], str]


@dataclass(eq=False)
class FakeWorker:
    number: int
    holder: ServiceHolder
    calls: int = 0
    stopped: bool = False


@dataclass(eq=False)
class FakeCall:
    worker: FakeWorker
    fate: str
    carry_out: Callable[[], Reply] = field(repr=False)


class FakeEngine(Engine):
    """Carries out a call when its result is asked for."""

    name: ClassVar[str] = "fake"

    def __init__(
        self, fate: Fate = lambda worker, call: "answered", description: dict[int, Values] | None = None
    ):
        self.fate, self.description = fate, description or {}
        self.workers: list[FakeWorker] = []
        self.closed = False

    @classmethod
    def connect(cls, address: str | None, processors: int) -> FakeEngine:
        return cls()

    def start_worker(self, service: str, values: Values) -> FakeWorker:
        worker = FakeWorker(len(self.workers), ServiceHolder(service, values))
        self.workers.append(worker)
        return worker

    def stop_worker(self, worker: FakeWorker) -> None:
        worker.stopped = True

    def share(self, arrays: Arrays) -> Arrays:
        return arrays

    def submit(
        self, worker: FakeWorker, method: str, values: Values, arrays: Arrays, shared: Any = None
    ) -> FakeCall:
        assert not worker.stopped

        def carry_out() -> Reply:
            error, reply = worker.holder.call(method, values, arrays, shared or {})
            assert not error, error
            changes = self.description.get(worker.number, {}) if method == "describe" else {}
            return Reply({**reply.values, **changes}, reply.arrays)

        call = FakeCall(worker, self.fate(worker.number, worker.calls), carry_out)
        worker.calls += 1
        return call

    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        ended = [call for call in calls if call.fate != "held back" or call.worker.stopped][:1]
        if not ended:
            time.sleep(min(timeout_seconds, 0.02))
        return ended

    def result(self, call: FakeCall) -> Reply:
        if call.fate == "lost" or call.worker.stopped:
            raise WorkerLostError(f"worker {call.worker.number} was lost")
        return call.carry_out()

    def close(self) -> None:
        self.closed = True
