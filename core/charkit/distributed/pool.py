"""A pool of workers that compute blocks: what is lost or late is computed again elsewhere, with the same bits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from charkit.backend import Array
from charkit.distributed import gradient_service as service
from charkit.distributed.engine import Engine, Handle, Values, WorkerFailedError, WorkerLostError
from charkit.distributed.gradients import BlockInput, BlockResult
from charkit.errors import BackendError, EngineError
from charkit.version import version

#: A block is given to a second, idle worker when it takes this many times as long as blocks do, and at least this long.
_LATE_RATIO, _LATE_SECONDS = 3.0, 1.0
#: A worker that has not answered for this long is given up, where no idle one could take its block.
_STUCK_SECONDS = 120.0
#: So many workers may be lost one after the other without a single answer between.
_MOST_LOSSES = 3
#: Workers that are not ready after this long are no longer waited for; at a tenth of it a notice says so.
_START_SECONDS = 300.0
#: How often late workers are looked for.
_INTERVAL_SECONDS = 0.2
#: The blocks whose times say what is usual.
_REMEMBERED = 64
#: What may differ between workers without a bit of their results differing.
_DESCRIPTIONS_MAY_DIFFER = frozenset({"python"})

#: Called with a line for the user: a worker was lost, or replaced.
OnNotice = Callable[[str], None]


@dataclass(eq=False)
class _Running:
    """A call that was sent and has not ended."""

    worker: Handle
    block: int | None  # None for a call of an earlier step, whose answer is discarded
    since: float


class WorkerPool:
    """Workers on an engine, all with the same service. Used as a context manager, which ends them.

    Raises EngineError where workers differ in what decides bits and ``mixed_machines`` is False, or where they end one
    after the other; BackendError with a worker's own error.
    """

    def __init__(
        self,
        engine: Engine,
        spec: Values,
        workers: int,
        *,
        mixed_machines: bool = False,
        on_notice: OnNotice = lambda line: None,
    ) -> None:
        self._engine, self._spec, self._mixed = engine, spec, mixed_machines
        self._on_notice = on_notice
        self._running: dict[Handle, _Running] = {}
        self._idle: list[Handle] = []
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._losses = 0  # since the last answer
        self._descriptions: list[Values] = []
        self._wanted = workers

    def __enter__(self) -> WorkerPool:
        try:
            self._start(self._wanted)
        except BaseException:
            self._engine.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    @property
    def descriptions(self) -> Sequence[Values]:
        """What distinct workers said of themselves, in the order in which they were met."""
        return self._descriptions

    def compute(
        self, step: int, weights: dict[str, Array], blocks: Sequence[BlockInput]
    ) -> list[BlockResult]:
        """The results of the blocks, in their order, with these weights."""
        shared = self._engine.share(weights)
        results: list[BlockResult | None] = [None] * len(blocks)
        waiting = deque(range(len(blocks)))
        for running in self._running.values():
            running.block = None
        while any(result is None for result in results):
            self._assign(step, shared, blocks, waiting, results)
            for call in self._engine.wait(list(self._running), _INTERVAL_SECONDS):
                self._take(call, results, waiting)
        return [result for result in results if result is not None]

    # ---- calls ----------------------------------------------------------------------------------------------

    def _assign(
        self,
        step: int,
        shared: Handle,
        blocks: Sequence[BlockInput],
        waiting: deque[int],
        results: Sequence[BlockResult | None],
    ) -> None:
        """Gives idle workers the blocks that wait, then a second try at blocks that are late."""
        while self._idle and (waiting or (late := self._late(results)) is not None):
            index = waiting.popleft() if waiting else late
            assert index is not None
            if results[index] is not None:
                continue  # answered by another worker in the meantime
            worker = self._idle.pop()
            values, arrays = service.request_of(blocks[index], step)
            call = self._engine.submit(worker, "gradients", values, arrays, shared)
            self._running[call] = _Running(worker, index, time.monotonic())
        self._give_up_stuck()

    def _late(self, results: Sequence[BlockResult | None]) -> int | None:
        """The block that one worker has had for too long, if there is one."""
        if not self._seconds:
            return None
        limit = max(_LATE_SECONDS, _LATE_RATIO * median(self._seconds))
        tries: dict[int, list[float]] = {}
        for running in self._running.values():
            if running.block is not None and results[running.block] is None:
                tries.setdefault(running.block, []).append(running.since)
        now = time.monotonic()
        late = [index for index, since in tries.items() if len(since) == 1 and now - since[0] > limit]
        return late[0] if late else None

    def _give_up_stuck(self) -> None:
        """Ends workers that have not answered for minutes, unless there are idle ones to do their work."""
        limit = max(_STUCK_SECONDS, 10 * _LATE_RATIO * median(self._seconds or [0.0]))
        for running in list(self._running.values()):
            if time.monotonic() - running.since > limit and not self._idle:
                self._engine.stop_worker(running.worker)  # its call ends with WorkerLostError

    def _take(self, call: Handle, results: list[BlockResult | None], waiting: deque[int]) -> None:
        """Takes the answer of a call that has ended, or its block back where its worker is lost."""
        running = self._running.pop(call)
        try:
            reply = self._engine.result(call)
        except WorkerLostError as error:
            if running.block is not None and results[running.block] is None:
                waiting.append(running.block)
            self._replace(running.worker, error)
            return
        except WorkerFailedError as error:
            raise BackendError(f"a worker can't compute: {error}") from error
        self._idle.append(running.worker)
        self._losses = 0
        if running.block is None:
            return
        self._seconds.append(time.monotonic() - running.since)
        if results[running.block] is None:
            results[running.block] = service.result_of(reply)

    # ---- workers --------------------------------------------------------------------------------------------

    def _start(self, count: int) -> None:
        """Starts workers and waits until each has said what it is."""
        calls = {}
        for _ in range(count):
            worker = self._engine.start_worker(service.NAME, self._spec)
            calls[self._engine.submit(worker, "describe", {}, {})] = worker
        began, reported = time.monotonic(), False
        while calls:
            waited = time.monotonic() - began
            if waited > _START_SECONDS:
                raise EngineError(
                    f"{len(calls)} of {count} workers did not start within {_START_SECONDS:.0f} s"
                    f"{self._capacity()}; use fewer `workers`, or a larger cluster"
                )
            if waited > _START_SECONDS / 10 and not reported:
                self._on_notice(f"waiting for {len(calls)} of {count} workers to start{self._capacity()}")
                reported = True
            for call in self._engine.wait(list(calls), _INTERVAL_SECONDS):
                worker = calls.pop(call)
                try:
                    self._admit(self._engine.result(call).values)
                except WorkerLostError as error:
                    self._count_loss(error)
                    again = self._engine.start_worker(service.NAME, self._spec)
                    calls[self._engine.submit(again, "describe", {}, {})] = again
                    continue
                except WorkerFailedError as error:
                    raise BackendError(f"a worker can't be made ready: {error}") from error
                self._idle.append(worker)

    def _capacity(self) -> str:
        capacity = self._engine.capacity()
        return f": {capacity}" if capacity else ""

    def _admit(self, description: Values) -> None:
        """Raises EngineError for a worker that may compute other bits than those before it."""
        if description["charkit"] != version():
            raise EngineError(
                f"a worker has charkit {description['charkit']}, and this process {version()}; install the same "
                "version everywhere"
            )
        if description in self._descriptions:
            return
        if self._descriptions and not self._mixed:
            differing = _differences(self._descriptions[0], description)
            if differing:
                raise EngineError(
                    f"the workers are not alike, so their results would differ in the last bits: {differing}; use "
                    "machines that are equal in this, or accept it with `mixed_machines=True`"
                )
        self._descriptions.append(description)

    def _replace(self, worker: Handle, error: WorkerLostError) -> None:
        """Starts another worker for one that is lost."""
        self._engine.stop_worker(worker)
        self._count_loss(error)
        self._on_notice(f"{error}; its work is done again by another")
        self._start(1)

    def _count_loss(self, error: WorkerLostError) -> None:
        self._losses += 1
        if self._losses >= _MOST_LOSSES * max(1, self._wanted):
            raise EngineError(
                f"{self._losses} workers ended without an answer between them; the last: {error}; see whether there "
                "is enough memory for `workers`, or use fewer"
            ) from error


def _differences(first: Values, other: Values) -> str:
    """What differs between two descriptions, as ``threads 1 and 2``."""
    named = {**first, **first["versions"]}, {**other, **other["versions"]}
    keys = [key for key in named[0] if key not in _DESCRIPTIONS_MAY_DIFFER | {"versions"}]
    return ", ".join(
        f"{key} {named[0][key]} and {named[1].get(key)}" for key in keys if named[0][key] != named[1].get(key)
    )
