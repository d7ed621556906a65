"""The engine on Ray Core: workers are actors, shared arrays are objects of the store.

Placement, transport and the cluster are Ray's. An actor holds nothing that a new one would lack, so a lost one is not
restarted but replaced by charkit's pool, as on every engine.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import ray
import ray.exceptions

from charkit.distributed.engine import (
    Arrays,
    Engine,
    Handle,
    Reply,
    Values,
    WorkerFailedError,
    WorkerLostError,
)
from charkit.errors import EngineError
from charkit_ray.actor import WorkerActor

#: ``ray.init`` can wait for ever for a cluster that is not there.
CONNECT_SECONDS = 120.0
#: The object store of a cluster that is started here: weights and states of a few steps. Ray takes 30 % of memory.
STORE_BYTES = 512 * 2**20
_KEPT = 2
#: Errors after which another actor may well answer. The memory monitor's and a lost object's are among them.
_LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.TaskCancelledError,
)


class RayEngine(Engine):
    """Workers are actors of the cluster at an address, or of one that lives as long as this engine."""

    name: ClassVar[str] = "ray"

    def __init__(self, cluster: threading.Event | None) -> None:
        self._cluster = (
            cluster  # of a cluster that lives as long as this engine; None for one of somebody else's
        )
        self._actors: list[Any] = []
        self._shared: deque[Any] = deque(maxlen=_KEPT)
        self._closed = False

    @classmethod
    def connect(cls, address: str | None, processors: int) -> RayEngine:
        """Connects to a cluster, or starts one here. Raises EngineError if that takes longer than two minutes.

        A process that is connected to a cluster already stays so, and uses it.
        """
        if ray.is_initialized():
            return cls(None)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            options |= {
                "num_cpus": max(processors, os.cpu_count() or 1),
                "object_store_memory": STORE_BYTES,
                "include_dashboard": False,
            }
        else:
            options["address"] = address
        return cls(_initialize(options, address))

    def start_worker(self, service: str, values: Values) -> Handle:
        """Creates an actor with a processor for each thread, and a GPU if its device is one."""
        gpus = 1 if str(values.get("device", "")).startswith("cuda") else 0
        options = {"num_cpus": values.get("threads", 1), "num_gpus": gpus, "max_restarts": 0}
        actor = WorkerActor.options(**options).remote(service, values)
        self._actors.append(actor)
        return actor

    def stop_worker(self, worker: Handle) -> None:
        """Kills the actor; one that is gone already stays so."""
        if worker in self._actors:
            self._actors.remove(worker)
        ray.kill(worker, no_restart=True)

    def share(self, arrays: Arrays) -> Handle:
        """Puts the arrays into the object store, where workers of a node read them without a copy."""
        try:
            reference = ray.put(dict(arrays))
        except ray.exceptions.ObjectStoreFullError as error:
            raise EngineError(
                f"Ray's object store is full: {_line(error)}; give the cluster a larger one, or use fewer workers"
            ) from error
        self._shared.append(reference)
        return reference

    def submit(
        self, worker: Handle, method: str, values: Values, arrays: Arrays, shared: Handle = None
    ) -> Handle:
        """Calls the actor; Ray resolves the reference to the shared arrays on its node."""
        return worker.call.remote(method, values, dict(arrays), {} if shared is None else shared)

    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        """Waits for one call, then takes all that have ended."""
        if not calls:
            return []
        first, others = ray.wait(list(calls), num_returns=1, timeout=timeout_seconds)
        more = ray.wait(others, num_returns=len(others), timeout=0)[0] if first and others else []
        return [*first, *more]

    def result(self, call: Handle) -> Reply:
        """The reply, with arrays of its own: those of the object store can't be written to."""
        try:
            error, values, arrays = ray.get(call)
        except _LOST as lost:
            raise WorkerLostError(f"a worker was lost: {_line(lost)}") from lost
        except ray.exceptions.RayTaskError as failed:
            if isinstance(failed.cause, MemoryError):
                raise WorkerLostError(f"a worker was lost: out of memory, {_line(failed.cause)}") from failed
            raise WorkerFailedError(_line(failed.cause or failed)) from failed
        except ray.exceptions.RayError as failed:
            raise WorkerLostError(f"a worker was lost: {_line(failed)}") from failed
        if error:
            raise WorkerFailedError(error)
        return Reply(values, {name: np.array(array) for name, array in arrays.items()})

    def capacity(self) -> str:
        """The processors of the cluster, and those that are free."""
        have, free = ray.cluster_resources().get("CPU", 0), ray.available_resources().get("CPU", 0)
        return f"the Ray cluster has {have:g} processors, {free:g} of them free"

    def close(self) -> None:
        """Kills the actors, and leaves the cluster, which ends if it was started here."""
        if self._closed:
            return
        self._closed = True
        for actor in list(self._actors):
            self.stop_worker(actor)
        self._shared.clear()
        if self._cluster is not None:
            ray.shutdown()
            self._cluster.set()


def _initialize(options: dict[str, Any], address: str | None) -> threading.Event:
    """``ray.init``, given up after some minutes; returns what is set when Ray is needed no more. Raises EngineError.

    The processes of a cluster that is started here end with the thread that started them (PR_SET_PDEATHSIG), so that
    thread waits for the end.
    """
    failures: list[Exception] = []
    connected, ended = threading.Event(), threading.Event()

    def connect() -> None:
        try:
            ray.init(**options)
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds here
            failures.append(error)
        connected.set()
        ended.wait()

    threading.Thread(target=connect, name="charkit-ray", daemon=True).start()
    where = (
        "a Ray cluster can't be started on this machine"
        if address is None
        else f"no Ray cluster at {address!r}"
    )
    if not connected.wait(CONNECT_SECONDS):
        raise EngineError(
            f"{where}: no answer within {CONNECT_SECONDS:.0f} s; see what `ray status --address ADDRESS` says there"
        )
    if failures:
        ended.set()
        raise EngineError(f"{where}: {_line(failures[0])}") from failures[0]
    return ended


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text:.200}"
