"""The engine on Ray Core: workers are actors, shared arrays are objects of the store.

Placement, transport and the cluster are Ray's. An actor holds nothing that a new one would lack, so a lost one is not
restarted but replaced by charkit's pool, as on every engine.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
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
from charkit.errors import EngineError, shown
from charkit.machine import most_threads
from charkit_ray.actor import WorkerActor
from charkit_ray.connection import Connection, cluster_address, is_same_address, one_line

#: How many sets of shared arrays are kept: a late worker may still be reading the one before.
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

#: What calls of Ray raise, apart from those that wait for an answer, when this process has lost its cluster.
_UNREACHABLE = (ray.exceptions.RayError, ConnectionError, RuntimeError)


class RayEngine(Engine):
    """Workers are actors of the cluster at an address, or of one that lives as long as this engine."""

    name: ClassVar[str] = "ray"

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection  # None where this process was connected already
        self._actors: list[Any] = []
        self._shared: deque[Any] = deque(maxlen=_KEPT)
        self._closed = False

    @classmethod
    def most_workers(cls, address: str | None) -> int:
        """On a cluster that is started here, as many as a process may have threads."""
        has_cluster = cluster_address(address) is not None or ray.is_initialized()
        return super().most_workers(address) if has_cluster else most_threads()

    @classmethod
    def connect(cls, address: str | None, processors: int, shared_bytes: int = 0) -> RayEngine:
        """Connects to the cluster at the address, or at RAY_ADDRESS; without both, or for "local", starts one here.

        A process that is connected to a cluster already stays so, and uses it. Raises EngineError if it takes longer
        than two minutes, or if another cluster than that one is named.
        """
        if not ray.is_initialized():
            return cls(Connection(address, processors))
        _check_connected(address)
        return cls(None)

    def start_worker(self, service: str, values: Values) -> Handle:
        """Creates an actor with a processor for each thread, and a GPU if its device is one.

        An actor sees no other GPU than its own, which is its first.
        """
        on_gpu = str(values.get("device", "")).startswith("cuda")
        if on_gpu:
            values = {**values, "device": "cuda:0"}
        options = {"num_cpus": values.get("threads", 1), "num_gpus": int(on_gpu), "max_restarts": 0}
        with _clear_errors():
            actor = WorkerActor.options(**options).remote(service, values)
        self._actors.append(actor)
        return actor

    def stop_worker(self, worker: Handle) -> None:
        """Kills the actor; one that is gone already stays so."""
        if worker in self._actors:
            self._actors.remove(worker)
        with contextlib.suppress(*_UNREACHABLE):  # there may be no cluster any more that could do it
            ray.kill(worker, no_restart=True)

    def share(self, arrays: Arrays) -> Handle:
        """Puts the arrays into the object store, where workers of a node read them without a copy."""
        try:
            reference = ray.put(dict(arrays))
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
            raise EngineError(
                f"the weights don't fit into Ray's object store: {one_line(error)}; free some space in it, or give the "
                "cluster a larger one (`object_store_memory`), and continue with `resume`"
            ) from error
        except _UNREACHABLE as error:
            raise _unreachable(error) from error
        self._shared.append(reference)
        return reference

    def submit(
        self, worker: Handle, method: str, values: Values, arrays: Arrays, shared: Handle = None
    ) -> Handle:
        """Calls the actor; Ray resolves the reference to the shared arrays on its node."""
        with _clear_errors():
            return worker.call.remote(method, values, dict(arrays), {} if shared is None else shared)

    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        """Waits for one call, then takes all that have ended."""
        if not calls:
            return []
        with _clear_errors():
            first, others = ray.wait(list(calls), num_returns=1, timeout=timeout_seconds)
            more = ray.wait(others, num_returns=len(others), timeout=0)[0] if first and others else []
            return [*first, *more]

    def result(self, call: Handle) -> Reply:
        """The reply, with arrays of its own: those of the object store can't be written to."""
        try:
            error, values, arrays = ray.get(call)
        except _LOST as lost:
            if isinstance(lost, ray.exceptions.RayActorError) and lost.actor_init_failed:
                raise WorkerFailedError(
                    f"{_last_line(lost)}; install charkit, charkit-ray and the backend on every node"
                ) from lost
            raise WorkerLostError(f"a worker was lost: {_reason(lost)}") from lost
        except ray.exceptions.RayTaskError as failed:
            if isinstance(failed.cause, MemoryError):
                raise WorkerLostError(
                    f"a worker was lost because it ran out of memory: {one_line(failed.cause)}"
                ) from failed
            raise WorkerFailedError(one_line(failed.cause or failed)) from failed
        except ray.exceptions.RayError as failed:
            raise WorkerLostError(f"a worker was lost: {one_line(failed)}") from failed
        if error:
            raise WorkerFailedError(error)
        return Reply(values, {name: np.array(array) for name, array in arrays.items()})

    def capacity(self) -> str:
        """The processors of the cluster, and those that are free, or why they are not known."""
        try:
            have, free = ray.cluster_resources().get("CPU", 0), ray.available_resources().get("CPU", 0)
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds when the cluster goes away
            return f"the Ray cluster isn't responding ({one_line(error)})"
        return f"the Ray cluster has {have:g} processor{'' if have == 1 else 's'}, {free:g} free"

    def close(self) -> None:
        """Kills the actors, and leaves the cluster, which ends if it was started here."""
        if self._closed:
            return
        self._closed = True
        for actor in list(self._actors):
            self.stop_worker(actor)
        self._shared.clear()
        if self._connection is not None:
            self._connection.close()


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Turns what Ray raises when the cluster has gone away into an EngineError."""
    try:
        yield
    except _UNREACHABLE as error:
        raise _unreachable(error) from error


def _unreachable(error: BaseException) -> EngineError:
    return EngineError(
        f"the Ray cluster can't be reached: {one_line(error)}; run `ray status` on its head node, then continue "
        "with `resume`"
    )


def _last_line(error: BaseException) -> str:
    """The last line of what an exception says, which in Ray's often holds a whole traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1] if lines else type(error).__name__:.200}"


def _reason(lost: BaseException) -> str:
    """Why a worker was lost; Ray also lists, indented, which actor it was."""
    lines = [line for line in str(lost).splitlines() if not line.startswith("\t")]
    return f"{' '.join(' '.join(lines).split()) or type(lost).__name__:.300}"


def _check_connected(address: str | None) -> None:
    """Raises EngineError where this process is connected to another cluster than the one that was named."""
    connected = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", connected) and not is_same_address(str(address), connected):
        raise EngineError(
            f"this process is connected to the Ray cluster at {connected!r}, but `address` is {shown(address)}; leave "
            "`address` out to keep using that cluster, or call ray.shutdown() first"
        )
