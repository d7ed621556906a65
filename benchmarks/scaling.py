"""Measures what a training step on workers consists of, and computes how long one takes with any number of them.

    python -m benchmarks scaling                           # local workers: measure, predict 1, 2 and 4, and check
    python -m benchmarks scaling --engine ray              # the same on a Ray cluster of this machine
    python -m benchmarks scaling --write docs/scaling.md   # and put the figures into the page

A step with W workers, whose batch has S shards, takes

    share(weights) + latency + S / P * shard + worker(weights) + W * driver(gradients) + (W - 1) * add + update

where P is the smaller of W and the processors. Everything in it is measured, in seconds, with one worker and in this
process; the prediction for several workers is then compared with steps on as many. For a cluster, P is W, and the
network is added: the weights go to each node once, and each worker's gradients come to the driver, which one link of
the given speed takes one after the other.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.turns import machine
from charkit import CharRNN
from charkit.distributed import gradient_service as service
from charkit.distributed.descriptions import Descriptions, describe
from charkit.distributed.discovery import find_engine
from charkit.distributed.gradients import BlockInput, block_gradients, block_input
from charkit.distributed.pool import WorkerPool
from charkit.distributed.shards import TreeSum
from charkit.training.sharded_step import OnWorkers, ShardedSteps, runner_in_process
from charkit.training.steps import TrainingStep

BEGIN, END = "<!-- figures: written by benchmarks/scaling.py -->", "<!-- end of figures -->"
VOCABULARY = 83
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
    worker: float  # what else a worker does: it takes the weights over
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

    def __init__(self, size: Size, options: argparse.Namespace) -> None:
        self.size, self._options = size, options
        self.model = CharRNN(
            vocabulary_size=VOCABULARY,
            lstm_size=size.units,
            num_layers=2,
            dropout=0.3,
            batch_size=size.rows * size.shards,
            num_steps=size.num_steps,
            backend=options.backend,
            threads=1,
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
        }

    def parts(self) -> Parts:
        """Measures the parts."""
        model, block = self.model, self.block(1)
        weights = model.weights()
        result = block_gradients(model, block)
        shard = seconds(lambda: block_gradients(model, block))
        worker = seconds(lambda: model.replace_weights(weights))
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

            driver = max(0.0, seconds(whole, 20) - share - latency - one_symbol - worker)
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

    def _seconds_of(self, run: Callable[..., object], steps: int) -> float:
        prepared = self.step()  # batches and masks are prepared on a thread of their own in training
        return seconds(lambda: run(self.model, prepared), steps)


def report_parts(parts: Parts, size: Size) -> list[str]:
    """The measured parts as a table."""
    rows = [
        ("gradient of a shard", f"{1000 * parts.shard:.2f} ms"),
        ("weights shared", f"{1000 * parts.share:.2f} ms, {parts.weight_bytes / 1e6:.2f} MB"),
        ("latency of an empty call", f"{1000 * parts.latency:.2f} ms"),
        ("a worker takes weights over", f"{1000 * parts.worker:.2f} ms"),
        (
            "the driver sends a block and receives gradients, for each worker",
            f"{1000 * parts.driver:.2f} ms, {(parts.weight_bytes + parts.block_bytes) / 1e6:.2f} MB",
        ),
        ("gradients of a worker added", f"{1000 * parts.add:.2f} ms"),
        ("clipping, Adam, copies", f"{1000 * parts.update:.2f} ms"),
    ]
    return ["", f"| {size} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def checked(subject: Subject, parts: Parts, steps: int) -> list[str]:
    """Predictions beside real steps, as a table."""
    processors = os.cpu_count() or 1
    lines = ["", "| workers | predicted, s | measured, s | predicted / measured |", "|---|---|---|---|"]
    alone = subject.measured(None, steps)
    predicted = subject.size.shards * parts.shard + parts.update
    lines.append(f"| none: one process | {predicted:.4f} | {alone:.4f} | {predicted / alone:.2f} |")
    for workers in (1, 2, 4):
        print(f"{subject.size}: {workers} workers", file=sys.stderr)
        predicted, found = parts.step(subject.size, workers, processors), subject.measured(workers, steps)
        lines.append(f"| {workers} | {predicted:.4f} | {found:.4f} | {predicted / found:.2f} |")
    return lines


def computed(parts: Parts, size: Size, options: argparse.Namespace) -> list[str]:
    """Steps on clusters, as a table: computed, not measured."""
    speed = options.gigabits * 1e9 / 8
    alone = size.shards * parts.shard + parts.update
    lines = [
        "",
        "| workers | nodes | step, s | of it gradients of shards | of it receiving gradients | characters per second "
        "| times as fast as one process |",
        "|---|---|---|---|---|---|---|",
    ]
    lines.append(
        f"| none | 1 | {alone:.2f} | {size.shards * parts.shard:.2f} | - | {size.symbols / alone:,.0f} | 1.0 |"
    )
    for workers in options.workers:
        nodes = -(-workers // options.per_node)
        step = parts.step(size, workers, workers, speed, nodes)
        receiving = max(workers * parts.weight_bytes / speed, workers * parts.driver)
        lines.append(
            f"| {workers} | {nodes} | {step:.2f} | {size.shards / workers * parts.shard:.2f} | {receiving:.2f} "
            f"| {size.symbols / step:,.0f} | {alone / step:.1f} |"
        )
    return lines


def write(page: Path, lines: Sequence[str], begin: str = BEGIN, end: str = END) -> None:
    """Replaces what is between the two marks of the page."""
    text = page.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no lines {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n\n{chr(10).join(lines)}\n\n{end}{after}", "utf-8")


def main() -> None:
    """Measures, predicts, checks and computes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", default="local", help="local or ray (default: %(default)s)")
    parser.add_argument("--address", help="where the engine is")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--steps", type=int, default=REPEATS, help="real steps of each check")
    parser.add_argument("--units", type=int, default=512, help="units of the model that is checked")
    parser.add_argument(
        "--large", type=int, default=1024, help="units of the model that is computed for clusters"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[4, 16, 64, 256], help="workers of clusters"
    )
    parser.add_argument("--per-node", type=int, default=16, help="workers on each node of a cluster")
    parser.add_argument("--gigabits", type=float, default=10.0, help="speed of the driver's network link")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page whose figures are replaced")
    options = parser.parse_args()
    if options.engine == "local" and options.address:
        parser.error("--address is for engines on other machines")

    small, large = Size(options.units, 13, 8), Size(options.large, 4, 256)
    checks = Subject(small, options)
    parts = checks.parts()
    lines = [
        f"`{' '.join(['python -m benchmarks scaling', *sys.argv[1:]])}`",
        "",
        f"{machine()}; engine {options.engine}, backend {options.backend}, one thread for each process; "
        f"{datetime.now(UTC):%Y-%m-%d}; medians of {options.steps} or more.",
        "",
        "Measured:",
        *report_parts(parts, small),
        "",
        "Predicted from these parts, and measured again with real workers:",
        *checked(checks, parts, options.steps),
    ]
    del checks
    print(f"{large}: parts", file=sys.stderr)
    parts = Subject(large, options).parts()
    lines += [
        "",
        "Measured:",
        *report_parts(parts, large),
        "",
        f"Computed from these parts, for nodes of {options.per_node} workers and a link of {options.gigabits:g} Gbit/s "
        "to the driver; nothing of it was run:",
        *computed(parts, large, options),
    ]
    print("\n".join(lines))
    if options.write:
        write(options.write, lines)


if __name__ == "__main__":
    main()
