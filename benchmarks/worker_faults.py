"""The time that lost workers cost: training on two workers, with each fault once. Needs Linux.

    python -m benchmarks worker-faults                           # local workers, and a Ray cluster on this machine
    python -m benchmarks worker-faults --engines local --trials 5
    python -m benchmarks worker-faults --write docs/scaling.md   # and put the table into the page

2x256, batches of 32 x 50 in 8 shards, NumPy, one thread for each worker. The fault follows step 10 of 40. The time
lost is how much longer the other 30 steps took than 30 median steps before the fault. A driver is killed soon after
step 15; the time lost is then that from ``toolkit train --resume`` to the step that had been reached, with the start
of the process, of its workers and the steps since the checkpoint of step 10. To make memory run low, this program
takes 10 GB, and gives it back once Ray's memory monitor has killed a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import charkit
from benchmarks.arguments import positive_integer
from benchmarks.ray_cluster import MEGABYTE, RayCluster, children_of, memory_use, ray_cluster, raylet_of
from benchmarks.scaling import write
from benchmarks.turns import machine
from charkit import events

BEGIN, END = "<!-- fault times: written by benchmarks/worker_faults.py -->", "<!-- end of fault times -->"
WORKERS, STEPS, FAULT = 2, 40, 10
#: The first steps load libraries and files.
WARM_UP = 3
#: Of a Ray cluster: one more than there are workers.
_NODES = 3
#: More than a cluster and its workers take, and half of what is taken to make memory run low.
_SPARE_BYTES = 5 * 1024 * MEGABYTE
SETTINGS: dict[str, Any] = {
    "recipe": "classic",
    "lstm_size": 256,
    "num_layers": 2,
    "batch_size": 32,
    "num_steps": 50,
    "shards": 8,
    "threads": 1,
    "max_steps": STEPS + 1,  # a validation follows the last step
    "save_every": FAULT,
    "eval_every": 1000,
    "sample_length": 0,
}
#: The faults after which a worker is replaced.
LOSSES = {
    *("a worker is killed", "a worker runs out of memory", "memory runs low"),
    *("a raylet is killed", "a node disappears"),
}


@dataclass
class Cost:
    """What the trials of one fault took, in seconds: a median step before it, the longest after it, and the loss."""

    step: list[float] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)

    def row(self, engine: str, fault: str) -> str:
        """A row of the table."""
        low, high = min(self.lost), max(self.lost)
        step, longest = (f"{median(found):.2f}" if found else "" for found in (self.step, self.longest))
        return (
            f"| {fault} | {engine} | {step} | {longest} | {median(self.lost):.2f} ({low:.2f} to {high:.2f}) |"
        )


def exhaust_memory(process: int) -> None:
    """From now on, the process gets no new memory from the system. A worker of Ray's manages with what it has."""
    resource.prlimit(process, resource.RLIMIT_AS, (MEGABYTE, MEGABYTE))


def one_local_worker() -> int:
    """A worker of this process."""
    return children_of(os.getpid(), b"charkit.distributed.local_worker")[0]


def measure(
    cost: Cost, inject: Callable[[], object], engine: dict[str, Any], relieve: Callable[[], None]
) -> int:
    """Trains once with the fault, and adds what it cost; returns how many workers were replaced.

    ``relieve`` is called when the first worker is lost.
    """
    times: dict[int, float] = {}
    injected, replaced = 0.0, 0

    def note(event: events.Event) -> None:
        nonlocal injected, replaced
        if isinstance(event, events.WorkerReplaced):
            relieve()
            replaced += 1
        if isinstance(event, events.Advanced):
            times[event.step] = time.perf_counter()
            if event.step == FAULT:
                inject()
                injected = time.perf_counter()

    with TemporaryDirectory() as folder:
        charkit.train(run=Path(folder, "run"), workers=WORKERS, on_event=note, **SETTINGS, **engine)
    step = median(times[number] - times[number - 1] for number in range(WARM_UP, FAULT + 1))
    later = [injected, *(times[number] for number in range(FAULT + 1, STEPS + 1))]
    cost.step.append(step)
    cost.longest.append(max(after - before for before, after in pairwise(later)))
    cost.lost.append(later[-1] - later[0] - (STEPS - FAULT) * step)
    return replaced


def last_step(run: Path) -> int:
    """The last step that the run has recorded."""
    with suppress(FileNotFoundError):
        lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
        return int(json.loads(lines[-1])["step"]) if lines else 0
    return 0


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits; ends this program if the process ends first."""
    while not is_so():
        if process.poll() is not None:
            raise SystemExit(f"toolkit train ended with status {process.returncode}")
        time.sleep(0.005)


def measure_killed_driver(cost: Cost, engine: dict[str, Any]) -> None:
    """Kills a driver, resumes its run on one worker more, and adds the time until it is where it was."""
    toolkit = [sys.executable, "-m", "charkit_cli", "train", "--log-every", "1"]
    settings = {**SETTINGS, "max_steps": 100_000, **engine}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    on = [f"--{name}={value}" for name, value in engine.items()]
    with TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [*toolkit, f"--run={run}", f"--workers={WORKERS}", *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
            wait_for(lambda: last_step(run) >= FAULT + 5, driver)
            driver.kill()
        reached = last_step(run)
        started = time.perf_counter()
        command = [*toolkit, f"--resume={run}", f"--workers={WORKERS + 1}", "--threads=1", *on]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
            # The records after the checkpoint go first.
            wait_for(lambda: last_step(run) < reached, driver)
            wait_for(lambda: last_step(run) >= reached, driver)
            cost.lost.append(time.perf_counter() - started)
            driver.terminate()


def suspend(worker: int) -> None:
    """Suspends a worker."""
    os.kill(worker, signal.SIGSTOP)


def kill(worker: int) -> None:
    """Kills a worker."""
    os.kill(worker, signal.SIGKILL)


def local_rows(trials: int) -> list[str]:
    """The rows of local workers."""
    faults: dict[str, Callable[[], object]] = {
        "none": lambda: None,
        "a worker is killed": lambda: kill(one_local_worker()),
        "a worker runs out of memory": lambda: exhaust_memory(one_local_worker()),
        "a worker is suspended": lambda: suspend(one_local_worker()),
    }
    found = rows("local", faults, trials, {}, lambda: None)
    return [*found, row_of_killed_drivers("local", trials, {}, lambda: None)]


def ray_rows(trials: int) -> list[str]:
    """The rows of a Ray cluster on this machine."""
    import ray

    objects: list[Any] = []

    def fill_store() -> None:
        objects.extend(ray.put(np.zeros(10 * MEGABYTE, np.uint8)) for _ in range(15))

    with ray_cluster(_NODES) as cluster:

        def prepare() -> None:
            objects.clear()
            restore(cluster)

        faults: dict[str, Callable[[], object]] = {
            "none": lambda: None,
            "a worker is killed": lambda: kill(cluster.workers()[0]),
            "a worker is suspended": lambda: suspend(cluster.workers()[0]),
            "a raylet is killed": lambda: raylet_of(cluster.node_of_a_worker()).kill(),
            "a node disappears": lambda: cluster.remove(cluster.node_of_a_worker()),
            "the object store is full": fill_store,
        }
        options = {"engine": "ray", "address": cluster.address}
        found = rows("Ray", faults, trials, options, prepare)
        found.append(row_of_killed_drivers("Ray", trials, options, prepare))
    return [*found, row_of_low_memory(trials)]


def restore(cluster: RayCluster) -> None:
    """Ends the workers that are left, such as a suspended one, and replaces the nodes that are gone."""
    for worker in cluster.workers():
        kill(worker)
    cluster.restore(_NODES)


def row_of_low_memory(trials: int) -> str:
    """The row of a cluster whose memory monitor kills workers while something else takes the memory."""
    taken: list[Any] = []
    limits = {
        "RAY_memory_usage_threshold": f"{memory_use(_SPARE_BYTES):.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    with ray_cluster(_NODES, limits) as cluster:
        faults = {"memory runs low": lambda: taken.append(np.ones(2 * _SPARE_BYTES, np.uint8))}
        options = {"engine": "ray", "address": cluster.address}
        (row,) = rows("Ray", faults, trials, options, lambda: restore(cluster), taken.clear)
    return row


def rows(
    engine: str,
    faults: dict[str, Callable[[], object]],
    trials: int,
    options: dict[str, Any],
    prepare: Callable[[], None],
    relieve: Callable[[], None] = lambda: None,
) -> list[str]:
    """A row for each fault."""
    found = []
    for fault, inject in faults.items():
        cost = Cost()
        for trial in range(1, trials + 1):
            print(f"{engine}: {fault}, {trial} of {trials}", file=sys.stderr)
            prepare()
            replaced = measure(cost, inject, options, relieve)
            if (replaced > 0) != (fault in LOSSES):
                raise SystemExit(
                    f"{engine}: {fault}: {replaced} workers were replaced, so the fault did not work"
                )
        found.append(cost.row(engine, fault))
    return found


def row_of_killed_drivers(
    engine: str, trials: int, options: dict[str, Any], prepare: Callable[[], None]
) -> str:
    """The row of a driver that is killed."""
    cost = Cost()
    for trial in range(1, trials + 1):
        print(f"{engine}: the driver is killed, {trial} of {trials}", file=sys.stderr)
        prepare()
        measure_killed_driver(cost, options)
    return cost.row(engine, "the driver is killed, and the run is resumed on three workers")


def main() -> None:
    """Injects each fault, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=["local", "ray"], default=["local", "ray"])
    parser.add_argument("--trials", type=positive_integer, default=3, help="of each fault (default: 3)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page whose table is replaced")
    options = parser.parse_args()
    rows = {"local": local_rows, "ray": ray_rows}
    found = [row for engine in options.engines for row in rows[engine](options.trials)]
    lines = [
        f"`{' '.join(['python -m benchmarks worker-faults', *sys.argv[1:]])}`",
        "",
        f"{machine()}; {datetime.now(UTC):%Y-%m-%d}; medians of {options.trials} (smallest to largest).",
        "",
        "| fault | engine | step before the fault, s | longest step after the fault, s | time lost, s |",
        "|---|---|---|---|---|",
        *found,
    ]
    print("\n".join(lines))
    if options.write:
        write(options.write, lines, BEGIN, END)


if __name__ == "__main__":
    main()
