"""A pool of workers that compute blocks: what is lost or late is computed again elsewhere, with the same bits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from charkit.backend import Array
from charkit.distributed import gradient_service as service
from charkit.distributed.descriptions import Descriptions
from charkit.distributed.engine import Engine, Handle, Values, WorkerFailedError, WorkerLostError
from charkit.distributed.gradients import BlockInput, BlockResult
from charkit.errors import BackendError, CharkitError, EngineError

#: A block is given to a second, idle worker when it takes this many times as long as blocks do, and at least this long.
_LATE_RATIO, _LATE_SECONDS = 3.0, 1.0
#: A worker that has not answered for this long is given up, unless another one does its work or could.
_STUCK_SECONDS = 120.0
#: The same before any block was computed: large blocks take long, and so does compiling.
_FIRST_STUCK_SECONDS = 1800.0
#: So many workers may be lost one after the other without a single answer between.
_MOST_LOSSES = 3
#: Workers that are not ready after this long are no longer waited for; at a tenth of it a notice says so.
_START_SECONDS = 300.0
#: A step is given up when it has not ended so long after a request to stop.
_STOP_SECONDS = 10.0
#: How often late workers are looked for.
_INTERVAL_SECONDS = 0.2
#: The blocks whose times say what is usual.
_REMEMBERED = 64

#: Called with a line for the user: a worker was lost, or replaced.
OnNotice = Callable[[str], None]


class StepAbandonedError(CharkitError):
    """Training was requested to stop during a step that would not end soon; the model is as it was before the step."""


@dataclass(eq=False)
class _Running:
    """A call that was sent and has not ended."""

    worker: Handle
    block: int | None  # None for a call of an earlier step, whose answer is discarded
    since: float
    #: Asks a new worker what it is; it computes nothing before it has said so.
    starting: bool = False
    #: Its worker was ended. An answer that came just before counts, but the worker gets no other call.
    given_up: bool = False


class WorkerPool:
    """Workers on an engine, all with the same service. Used as a context manager, which ends them.

    Raises EngineError where a worker is not admitted to the run's ``descriptions``, or where workers end one after the
    other; BackendError with a worker's own error.
    """

    def __init__(
        self,
        engine: Engine,
        spec: Values,
        workers: int,
        descriptions: Descriptions,
        *,
        on_notice: OnNotice = lambda line: None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine, self._spec = engine, spec
        self._on_notice, self._stop_requested = on_notice, stop_requested
        self._stopping_since: float | None = None
        self._running: dict[Handle, _Running] = {}
        self._idle: list[Handle] = []
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._losses = 0  # since the last answer
        self._descriptions = descriptions
        self._entering = True  # until all workers were ready once
        self._slow_start_reported = False
        self._wanted = workers

    def __enter__(self) -> WorkerPool:
        try:
            for _ in range(self._wanted):
                self._start()
            while self._starting():
                self._take_ended([], deque())
            self._entering = False
        except BaseException:
            self._engine.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def compute(
        self, step: int, weights: dict[str, Array], blocks: Sequence[BlockInput]
    ) -> list[BlockResult]:
        """The results of the blocks, in their order, with these weights.

        Raises StepAbandonedError after a request to stop, if no worker is left or the step doesn't end in ten seconds.
        """
        shared = self._engine.share(weights)
        results: list[BlockResult | None] = [None] * len(blocks)
        waiting = deque(range(len(blocks)))
        for running in self._running.values():
            running.block = None
        while any(result is None for result in results):
            self._assign(step, shared, blocks, waiting, results)
            self._take_ended(results, waiting)
            self._look_for_stop(results)
        return [result for result in results if result is not None]

    def _look_for_stop(self, results: Sequence[BlockResult | None]) -> None:
        """Raises StepAbandonedError for a step that should not be waited for any longer."""
        if not self._stop_requested() or all(result is not None for result in results):
            return
        now = time.monotonic()
        if self._stopping_since is None:
            self._stopping_since = now
        if self._ready_count() == 0 or now - self._stopping_since > _STOP_SECONDS:
            raise StepAbandonedError("the step was abandoned because a stop was requested")

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
        self._give_up_stuck(results)

    def _late(self, results: Sequence[BlockResult | None]) -> int | None:
        """The block that one worker has had for too long, if there is one."""
        if not self._seconds:
            return None
        limit = max(_LATE_SECONDS, _LATE_RATIO * median(self._seconds))
        now = time.monotonic()
        tries = self._tries(results)
        late = [index for index, since in tries.items() if len(since) == 1 and now - since[0] > limit]
        return late[0] if late else None

    def _give_up_stuck(self, results: Sequence[BlockResult | None]) -> None:
        """Ends workers that have not answered for minutes, unless others do their work or could.

        A block is given to two workers at most: where neither answers, both are ended, even if another one is idle.
        """
        usual = 10 * _LATE_RATIO * median(self._seconds) if self._seconds else _FIRST_STUCK_SECONDS
        stuck_since = time.monotonic() - max(_STUCK_SECONDS, usual)
        tries = self._tries(results)
        for call, running in list(self._running.items()):
            if running.starting or running.given_up or running.since >= stuck_since:
                continue
            if self._engine.wait([call], 0.0):
                continue  # it has answered while this process did something else, or was suspended
            newest = max(tries.get(running.block, [time.monotonic()]))
            if not self._idle or newest < stuck_since:
                running.given_up = True
                self._engine.stop_worker(running.worker)  # its call ends with WorkerLostError

    def _tries(self, results: Sequence[BlockResult | None]) -> dict[int | None, list[float]]:
        """When each block that has no result yet was given to workers that still have it."""
        tries: dict[int | None, list[float]] = {}
        for running in self._running.values():
            if running.block is not None and results[running.block] is None:
                tries.setdefault(running.block, []).append(running.since)
        return tries

    def _take_ended(self, results: list[BlockResult | None], waiting: deque[int]) -> None:
        """Waits a moment for calls to end and takes their answers, or their blocks back where workers are lost."""
        for call in self._engine.wait(list(self._running), _INTERVAL_SECONDS):
            running = self._running.pop(call)
            try:
                reply = self._engine.result(call)
            except WorkerLostError as error:
                if running.block is not None and results[running.block] is None:
                    waiting.append(running.block)
                self._replace(running, error)
                continue
            except WorkerFailedError as error:
                what = "failed to start" if running.starting else "failed while computing"
                raise BackendError(f"a worker {what}: {error}") from error
            if running.starting:
                self._admit(reply.values)
            else:
                self._losses = 0
            if running.given_up:
                self._on_notice(
                    "a worker responded just as it was stopped for not responding; another worker will take its place"
                )
                self._start()
            else:
                self._idle.append(running.worker)
            if running.block is None:
                continue
            self._seconds.append(time.monotonic() - running.since)
            if results[running.block] is None:
                results[running.block] = service.result_of(reply)
        self._watch_starting()

    # ---- workers --------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Starts a worker, which can be used once it has said what it is."""
        worker = self._engine.start_worker(service.NAME, self._spec)
        call = self._engine.submit(worker, "describe", {}, {})
        self._running[call] = _Running(worker, None, time.monotonic(), starting=True)

    def _starting(self) -> list[_Running]:
        return [running for running in self._running.values() if running.starting]

    def _ready_count(self) -> int:
        """The workers that compute or could."""
        return len(self._idle) + len(self._running) - len(self._starting())

    def _watch_starting(self) -> None:
        """Says that workers take long to start. Raises EngineError where they take too long and there are no others."""
        starting = self._starting()
        if not starting:
            self._slow_start_reported = False
            return
        waited = time.monotonic() - min(running.since for running in starting)
        if waited > _START_SECONDS / 10 and not self._slow_start_reported:
            self._slow_start_reported = True
            self._on_notice(
                f"waiting for {len(starting)} of {self._wanted} workers to start{self._capacity()}"
            )
        if waited > _START_SECONDS and (self._entering or self._ready_count() == 0):
            raise EngineError(
                f"{len(starting)} of {self._wanted} workers did not start within {_START_SECONDS:.0f} s"
                f"{self._capacity()}; use fewer `workers`, or a cluster with more free processors"
            )

    def _capacity(self) -> str:
        capacity = self._engine.capacity()
        return f": {capacity}" if capacity else ""

    def _admit(self, description: Values) -> None:
        """Raises EngineError for a worker that can't be used."""
        known = len(self._descriptions.distinct)
        differing = self._descriptions.admit(description)
        if len(self._descriptions.distinct) > known:
            self._on_notice(
                f"a worker differs from this process: {differing}; the last bits of the results depend on this "
                "mix of workers"
            )

    def _replace(self, lost: _Running, error: WorkerLostError) -> None:
        """Starts another worker for one that is lost; until it is ready, the others do its work."""
        self._engine.stop_worker(lost.worker)
        self._count_loss(error)
        self._on_notice(f"{error}; another worker will redo its work")
        self._start()

    def _count_loss(self, error: WorkerLostError) -> None:
        self._losses += 1
        if self._losses >= _MOST_LOSSES * max(1, self._wanted):
            raise EngineError(
                f"{self._losses} workers in a row ended without responding; the last error was: {error}; check that "
                "there is enough memory for all of them, or use fewer `workers`"
            ) from error
