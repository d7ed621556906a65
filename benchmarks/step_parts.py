"""What a training step on workers consists of: each part measured alone, and a real step on so many workers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from charkit import CharRNN
from charkit.distributed import gradient_service as service
from charkit.distributed.descriptions import Descriptions, describe
from charkit.distributed.discovery import find_engine
from charkit.distributed.gradients import BlockInput, block_gradients, block_input
from charkit.distributed.pool import WorkerPool
from charkit.distributed.shards import TreeSum
from charkit.training.sharded_step import OnWorkers, ShardedSteps, runner_in_process
from charkit.training.steps import TrainingStep

VOCABULARY = 83
#: Repetitions of which the median counts.
REPEATS = 7


@dataclass(frozen=True)
class Size:
    """A model and its batches; each shard has ``rows`` sequences."""

    units: int
    rows: int
    shards: int
    num_steps: int = 100

    @property
    def symbols(self) -> int:
        """Symbols of a batch."""
        return self.rows * self.shards * self.num_steps

    def __str__(self) -> str:
        return (
            f"2x{self.units}, batches of {self.rows * self.shards} x {self.num_steps} in {self.shards} shards"
        )


@dataclass(frozen=True)
class Parts:
    """What a step consists of, in seconds, and the bytes that it moves."""

    shard: float  # the gradient of one shard
    share: float  # making the weights readable by workers
    latency: float  # an empty call, to a worker and back
    worker: float  # what else a worker does: it takes the weights over, and prepares them for its products
    driver: float  # what else the driver does for each worker: it sends a block and receives gradients
    add: float  # adding one worker's gradients
    update: float  # clipping, Adam, and copies of weights and gradients
    weight_bytes: int
    block_bytes: int  # symbols, masks and state of one shard

    def step(
        self, size: Size, workers: int, processors: int, bytes_per_second: float = 0, nodes: int = 1
    ) -> float:
        """Seconds of a step; with a speed of the network, the workers are on nodes of a cluster."""
        side_by_side = min(workers, processors)
        out = nodes * self.weight_bytes + size.shards * self.block_bytes
        back = workers * self.weight_bytes
        sending = out / bytes_per_second if bytes_per_second else 0.0
        receiving = back / bytes_per_second if bytes_per_second else 0.0
        return (
            self.share
            + sending
            + self.latency
            + size.shards / side_by_side * self.shard
            + self.worker
            + max(receiving, workers * self.driver)
            + (workers - 1) * self.add
            + self.update
        )


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of the work, after once to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


class Subject:
    """A model with a batch, in this process, and the parts of its steps on an engine."""

    def __init__(self, size: Size, options: argparse.Namespace, threads: int = 1) -> None:
        self.size, self._options = size, options
        self.model = CharRNN(
            vocabulary_size=VOCABULARY,
            lstm_size=size.units,
            num_layers=2,
            dropout=0.3,
            batch_size=size.rows * size.shards,
            num_steps=size.num_steps,
            backend=options.backend,
            threads=threads,
        )
        shape = (size.rows * size.shards, size.num_steps + 1)
        symbols = np.random.default_rng(0).integers(0, VOCABULARY, shape, np.int32)
        self.inputs, self.targets = (
            np.ascontiguousarray(symbols[:, :-1]),
            np.ascontiguousarray(symbols[:, 1:]),
        )

    def step(self) -> TrainingStep:
        """The next step, always on the same batch."""
        masks = self.model.masks(self.model.step + 1, self.inputs.shape)
        return TrainingStep(self.model.step + 1, self.inputs, self.targets, masks, 1e-3)

    def block(self, shards: int) -> BlockInput:
        """The first shards of the batch."""
        step = self.step()
        rows = slice(0, shards * self.size.rows)
        return block_input(rows, shards, (step.inputs, step.targets), self.model.state(), step.masks)

    @contextmanager
    def engine(self, workers: int) -> Iterator[Any]:
        """The chosen engine."""
        made = find_engine(self._options.engine).connect(self._options.address, workers)
        try:
            yield made
        finally:
            made.close()

    def spec(self, rows: int | None = None, num_steps: int | None = None) -> dict[str, Any]:
        """What a worker is made of, by default for the shards of this size."""
        return {
            "backend": self.model.backend.name,
            "precision": "float32",
            "device": self.model.backend.device,
            "threads": 1,
            "model": self.model.config.model_dump(),
            "rows": rows or self.size.rows,
            "num_steps": num_steps or self.size.num_steps,
            "divides_batches": self.size.shards == 1,
        }

    def parts(self) -> Parts:
        """Measures the parts."""
        model, block = self.model, self.block(1)
        model.backend.divides_batches = self.size.shards == 1
        weights = model.weights()
        result = block_gradients(model, block)
        shard = seconds(lambda: block_gradients(model, block))
        copies = [{name: array.copy() for name, array in result.gradients.items()} for _ in range(2)]

        def add() -> None:
            tree = TreeSum()
            for gradients in copies:
                tree.add(gradients)

        def update() -> None:
            model.apply_gradients(result.gradients)
            model.weights()

        # A block of one symbol moves the same weights and gradients, and takes hardly any time to compute.
        one = block_input(slice(0, 1), 1, (block.inputs[:, :1], block.targets[:, :1]), block.state, None)
        one_symbol = seconds(lambda: block_gradients(model, one))
        with self.engine(1) as engine:
            handle = engine.start_worker(service.NAME, self.spec(1, 1))

            def call(method: str, *content: Any) -> None:
                sent = engine.submit(handle, method, *content)
                while not engine.wait([sent], 60.0):
                    pass
                engine.result(sent)

            share = seconds(lambda: engine.share(weights))
            latency = seconds(lambda: call("describe", {}, {}), 50)
            steps = iter(range(1, 10**6))

            def whole() -> None:
                values, arrays = service.request_of(one, next(steps))
                call("gradients", values, arrays, engine.share(weights))

            def with_the_same_weights() -> None:
                call("gradients", *service.request_of(one, 0))

            with_the_weights = seconds(whole, 20)
            call("gradients", *service.request_of(one, 0), engine.share(weights))
            same_weights = seconds(with_the_same_weights, 20)
            worker = max(0.0, with_the_weights - share - same_weights)
            driver = max(0.0, same_weights - latency - one_symbol)
        _, arrays = service.request_of(block, 1)
        return Parts(
            shard=shard,
            share=share,
            latency=latency,
            worker=worker,
            driver=driver,
            add=seconds(add),
            update=seconds(update),
            weight_bytes=sum(array.nbytes for array in weights.values()),
            block_bytes=sum(array.nbytes for array in arrays.values()),
        )

    def measured(self, workers: int | None, steps: int) -> float:
        """Seconds of a real step on so many workers; None is this process alone."""
        if workers is None:
            return self._seconds_of(runner_in_process(self.size.shards), steps)
        with self.engine(workers) as engine:
            descriptions = Descriptions(describe(self.model.backend), mixed_machines=False)
            with WorkerPool(engine, self.spec(), workers, descriptions) as pool:
                return self._seconds_of(ShardedSteps(self.size.shards, OnWorkers(pool, workers)), steps)

    def beside_threads(self, workers: int, rounds: int) -> tuple[list[float], list[float]]:
        """Seconds of steps in one process of so many threads, and on so many workers of one, in turns.

        The workers' driver has one thread; each step trains on the same batch.
        """
        alone = Subject(self.size, self._options, threads=workers)
        whole = runner_in_process(1)
        times: tuple[list[float], list[float]] = ([], [])
        with self.engine(workers) as engine:
            descriptions = Descriptions(describe(self.model.backend), mixed_machines=False)
            with WorkerPool(engine, self.spec(), workers, descriptions) as pool:
                sharded = ShardedSteps(self.size.shards, OnWorkers(pool, workers))
                prepared = self.step()
                for number in range(rounds + 1):
                    for subject, run, found in ((alone, whole, times[0]), (self, sharded, times[1])):
                        began = time.perf_counter()
                        run(subject.model, prepared)
                        if number:  # the first is to warm up
                            found.append(time.perf_counter() - began)
        return times

    def _seconds_of(self, run: Callable[..., object], steps: int) -> float:
        prepared = self.step()  # batches and masks are prepared on a thread of their own in training
        return seconds(lambda: run(self.model, prepared), steps)
