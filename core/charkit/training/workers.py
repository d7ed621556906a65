"""Who computes the gradients of a run: this process, or workers on an engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from charkit import events
from charkit.backend_choice import BackendChoice
from charkit.charrnn import CharRNN
from charkit.config import RunConfig
from charkit.distributed.descriptions import Descriptions, describe
from charkit.distributed.discovery import LOCAL, find_engine
from charkit.distributed.engine import MOST_WORKERS, Values
from charkit.distributed.pool import WorkerPool
from charkit.errors import ConfigurationError, counted, shown
from charkit.settings import Settings, merge
from charkit.training.interrupts import StopRequest, stopping_at_once
from charkit.training.sharded_step import OnWorkers, ShardedSteps, runner_in_process
from charkit.training.steps import StepRunner
from charkit.weights import parameter_count

#: The shards of a new run on workers, unless their number is given: so it can continue on up to eight of them.
SHARDS = 8


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and where; no run records them as its own, since its bits don't depend on them.

    ``count`` None means that this process computes alone. ``address`` says where the engine is.
    """

    count: int | None = None
    engine: str | None = None
    address: str | None = None
    mixed_machines: bool = False

    def check(self) -> None:
        """Raises ConfigurationError or EngineError for what can't be."""
        for name, text in (("engine", self.engine), ("address", self.address)):
            if text is not None and not (
                isinstance(text, str) and text
            ):  # "" may be a variable that is not set
                raise ConfigurationError(
                    f"`{name}` must be a non-empty string; given {shown(text)}; leave `{name}` out to use "
                    "the default"
                )
        if self.count is None:
            others = {
                "engine": self.engine,
                "address": self.address,
                "mixed_machines": self.mixed_machines or None,
            }
            given = next((name for name, value in others.items() if value is not None), None)
            if given is not None:
                raise ConfigurationError(f"`{given}` is for training on several workers; give `workers` too")
            return
        name = self.engine or LOCAL
        most = find_engine(name).most_workers(self.address)
        if self.count > most:
            here = (
                ""
                if most == MOST_WORKERS
                else f" on a machine with {counted(os.cpu_count() or 1, 'processor')}"
            )
            raise ConfigurationError(
                f"`workers` must be at most {most:,}{here}; given {self.count}; use fewer"
                + (", or a cluster (another `engine`, with its `address`)" if here else "")
            )

    def choice(self, choice: BackendChoice) -> BackendChoice:
        """The choice of a backend with one thread, unless their number is given: each worker has as many."""
        if self.count is None or choice.threads is not None:
            return choice
        return BackendChoice(choice.backend, choice.device, 1)

    def settings(self, settings: Mapping[str, Mapping[str, Any]], recipe: Settings) -> Settings:
        """The settings of a new run, which is cut into shards if it is to train on workers.

        The number of shards may be given, or come from the recipe, whose settings these are. Raises ConfigurationError
        for a given batch that so many shards don't divide.
        """
        if self.count is None or any("shards" in each.get("data", {}) for each in (settings, recipe)):
            return merge(settings)
        shards = SHARDS
        while shards < self.count:
            shards *= 2
        batch_size = settings.get("data", {}).get("batch_size")
        if isinstance(batch_size, int) and batch_size % shards:
            raise ConfigurationError(
                f"`batch_size` must be a multiple of {shards} with `workers={self.count}`, because each batch is "
                f"divided into {shards} shards; given {batch_size}; choose another `batch_size`, or set `shards` to a "
                f"power of two that divides {batch_size}, and use at most that many workers"
            )
        return merge(settings, {"data": {"shards": shards}})

    def record(self, machines: Sequence[Values]) -> dict[str, Any]:
        """What a session's record has of them; ``machines`` are descriptions of processes that are not alike.

        With mixed machines the session's bits are one of several; a worker unlike the others may still come later.
        """
        if self.count is None:
            return {}
        record: dict[str, Any] = {"workers": self.count, "engine": self.engine or LOCAL}
        if self.mixed_machines:
            record |= {"mixed_machines": True, "machines": list(machines)}
        return record

    def notices(self, threads: int) -> tuple[str, ...]:
        """How many workers train, a line for the user."""
        if self.count is None:
            return ()
        each = counted(threads, "thread") + (" each" if self.count > 1 else "")
        noun = "worker" if self.count == 1 else "workers"
        return (f"{self.count} {noun} on engine {self.engine or LOCAL}, {each}",)

    def check_shards(self, shards: int) -> None:
        """Raises ConfigurationError for more workers than shards."""
        if self.count is None or self.count <= shards:
            return
        if shards == 1:
            raise ConfigurationError(
                f"`workers={self.count}` can't be used: the run has only 1 shard, so its steps can't be divided; leave "
                "`workers` out, or start a new run with more `shards`"
            )
        raise ConfigurationError(
            f"`workers={self.count}` is more than the run's {shards} shards; use at most {shards} workers, or start a "
            "new run with more `shards`"
        )


#: One process computes everything.
ALONE = Workers()


@dataclass(frozen=True)
class Computation:
    """What computes the steps of a session, and what is recorded and said of it."""

    run_step: StepRunner
    workers: Workers = ALONE
    #: Descriptions of the processes that compute, one of each kind, this process first.
    machines: Sequence[Values] = ()
    #: What the engine has to say of where it runs.
    engine_notices: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What the session's record has of it."""
        return self.workers.record(self.machines)

    def notices(self, threads: int) -> tuple[str, ...]:
        """What the user is told of it, a line for each."""
        return (*self.workers.notices(threads), *self.engine_notices)


@contextmanager
def computation(
    workers: Workers,
    config: RunConfig,
    model: CharRNN,
    on_event: events.EventHandler,
    stop_request: StopRequest | None = None,
) -> Iterator[Computation]:
    """What runs the steps of a run; workers are started here and end with the context.

    A step on workers that would not end soon after the ``stop_request`` raises StepAbandonedError.

    Raises EngineError where the engine can't be reached or workers can't be used, BackendError, and what a signal
    raises that comes before they are ready: KeyboardInterrupt or TerminatedError.
    """
    shards = config.data.shards
    workers.check_shards(shards)
    if workers.count is None:
        yield Computation(runner_in_process(shards))
        return
    if shards == 1:  # a worker takes a step in two parts, which JAX compiles to other bits than a whole step
        notice = "with 1 shard, there is nothing to divide, so this process trains without workers"
        yield Computation(runner_in_process(shards), engine_notices=(notice,))
        return
    backend = model.backend
    spec = {
        "backend": backend.name,
        "precision": backend.precision,
        "device": backend.device,
        "threads": backend.threads,
        "model": config.model.model_dump(),
        "rows": config.data.batch_size // shards,
        "num_steps": config.data.num_steps,
    }
    descriptions = Descriptions(describe(backend), mixed_machines=workers.mixed_machines)
    with ExitStack() as stack:
        with stopping_at_once():  # workers may take minutes to start, and there is nothing to save yet
            engine_class = find_engine(workers.engine or LOCAL)
            threads = workers.count * backend.threads
            engine = engine_class.connect(workers.address, threads, _weight_bytes(model))
            stack.callback(engine.close)
            pool = WorkerPool(
                engine,
                spec,
                workers.count,
                descriptions,
                on_notice=lambda line: on_event(events.WorkerReplaced(line)),
                stop_requested=lambda: stop_request is not None and stop_request.reason is not None,
            )
            stack.enter_context(pool)
        steps = ShardedSteps(shards, OnWorkers(pool, workers.count))
        yield Computation(steps, workers, descriptions.distinct, engine.notices())


def _weight_bytes(model: CharRNN) -> int:
    """The size of the canonical weights, which each step shares."""
    return parameter_count(model.config) * (8 if model.backend.precision == "float64" else 4)
