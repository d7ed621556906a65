"""Faults of clusters while a run trains on them: the same bits, or a clear end from which the run continues to them."""

# Over 300 lines: each test is one way in which a worker or a node can fail.

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ray_cluster import RayCluster, left_running, processes_of, raylet_of

import charkit
from charkit import events
from charkit.distributed import pool as pool_module
from charkit.errors import EngineError
from charkit.runs.run import Run
from charkit.training.result import TrainResult
from distributed.worker_faults import EXCEED_A_LIMIT, SLEEP, Blocks, plant
from support import SMALL, SMALL_TEXT
from training_support import bits_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
NODES = 3
SHARDED: dict[str, Any] = {
    **SMALL,
    "batch_size": 8,
    "dropout": 0.3,
    "shards": 8,
    "max_steps": 24,
    "save_every": 5,
    "threads": 1,
}
Bits = dict[str, bytes]
#: By default Ray spills no object to a disk that is used to 95 %, and the disk of this machine may be.
_ANY_DISK = {"RAY_local_fs_capacity_threshold": "1.0"}
#: Ray spills no object to a disk of which at least this share is used, and the disk of this machine may be empty.
_NO_DISK = {"RAY_local_fs_capacity_threshold": "0.0"}


def _train(text: Path, name: str, **options: Any) -> TrainResult:
    return charkit.train(text, run=name, **{**SHARDED, **options})


@pytest.fixture(scope="module")
def whole_cluster() -> Iterator[RayCluster]:
    made = RayCluster(NODES, environment=_ANY_DISK)
    yield made
    made.end()


@pytest.fixture
def cluster(whole_cluster: RayCluster) -> RayCluster:
    """A cluster of three nodes, whatever the test before has done to it."""
    whole_cluster.restore(NODES)
    return whole_cluster


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Bits:
    """The bits of the run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "text.txt").write_text(SMALL_TEXT, "utf-8")
    return bits_of(charkit.train(folder / "text.txt", run=str(folder / "run"), **SHARDED))


class Disturbed:
    """Trains on two workers, with a fault at the tenth step, and has what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from charkit_ray.engine import RayEngine

        # No block is late, however slow the machine, so that what is computed again is what was lost.
        monkeypatch.setattr(pool_module, "_LATE_SECONDS", 10_000.0)
        self.notices: list[str] = []
        self._blocks = Blocks(RayEngine, monkeypatch)

    def train(
        self, text: Path, address: str, fault: Callable[[], object] = lambda: None, **options: Any
    ) -> TrainResult:
        def handle(event: events.Event) -> None:
            if isinstance(event, events.Advanced) and event.step == 10:
                fault()
            if isinstance(event, events.WorkerReplaced):
                self.notices.append(event.message)

        options = {"workers": 2, "engine": "ray", "address": address, "on_event": handle, **options}
        return _train(text, "disturbed", **options)

    @property
    def repeated(self) -> int:
        """The blocks that were computed again; each step has two."""
        return self._blocks.repeated(each_step=2)


@pytest.fixture
def disturbed(monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    return Disturbed(monkeypatch)


def test_a_worker_that_is_killed(
    cluster: RayCluster, text_file: Path, alone: Bits, disturbed: Disturbed
) -> None:
    result = disturbed.train(
        text_file, cluster.address, lambda: os.kill(cluster.workers()[0], signal.SIGKILL)
    )
    assert bits_of(result) == alone
    assert "a worker was lost: The actor died unexpectedly" in disturbed.notices[0]
    assert disturbed.repeated == 1


def test_a_raylet_that_is_killed_takes_its_worker_along(
    cluster: RayCluster, text_file: Path, alone: Bits, disturbed: Disturbed
) -> None:
    result = disturbed.train(text_file, cluster.address, lambda: raylet_of(cluster.node_of_a_worker()).kill())
    assert bits_of(result) == alone
    assert disturbed.repeated == 1


def test_a_node_that_is_removed(
    cluster: RayCluster, text_file: Path, alone: Bits, disturbed: Disturbed
) -> None:
    result = disturbed.train(text_file, cluster.address, lambda: cluster.remove(cluster.node_of_a_worker()))
    assert bits_of(result) == alone
    assert disturbed.repeated == 1


def test_a_worker_that_sleeps_loses_its_block_to_another(
    cluster: RayCluster,
    text_file: Path,
    alone: Bits,
    disturbed: Disturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", 0.5)
    result, notices, repeated = _planted(SLEEP, cluster, text_file, disturbed, tmp_path)
    assert bits_of(result) == alone
    assert notices == []
    assert repeated >= 1  # on a slow machine other blocks are late, too


def test_a_worker_that_exceeds_its_memory_is_replaced(
    cluster: RayCluster, text_file: Path, alone: Bits, disturbed: Disturbed, tmp_path: Path
) -> None:
    result, notices, repeated = _planted(EXCEED_A_LIMIT, cluster, text_file, disturbed, tmp_path)
    assert bits_of(result) == alone
    assert notices[0].startswith(
        "a worker was lost because it ran out of memory: Unable to allocate 8.00 MiB"
    )
    assert (len(notices), repeated) == (1, 1)


def _planted(
    fault: str, cluster: RayCluster, text: Path, disturbed: Disturbed, folder: Path
) -> tuple[TrainResult, list[str], int]:
    """A run on new nodes alone, in a worker of which the fault is planted."""
    environment = plant(fault, folder / "site", driver=os.getpid())
    for node in list(cluster.nodes):
        cluster.remove(node)
    for _ in range(NODES):
        cluster.add(environment)
    cluster.settle()
    result = disturbed.train(text, cluster.address)
    assert (folder / "site" / "planted").exists()
    return result, disturbed.notices, disturbed.repeated


def test_a_node_that_is_low_on_memory_loses_its_workers_to_others(
    cluster: RayCluster, text_file: Path, alone: Bits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_MOST_LOSSES", 30)
    for node in list(cluster.nodes):
        cluster.remove(node)
    low = cluster.add(
        {"RAY_memory_usage_threshold": "0.0001", "RAY_memory_monitor_refresh_ms": "100"}, num_cpus=2
    )
    cluster.settle()
    notices: list[str] = []

    def handle(event: events.Event) -> None:
        if isinstance(event, events.WorkerReplaced):
            notices.append(event.message)
            if len(notices) == 2:
                cluster.add(num_cpus=2)
                cluster.remove(low)

    options = {"workers": 2, "engine": "ray", "address": cluster.address, "on_event": handle}
    assert bits_of(_train(text_file, "disturbed", **options)) == alone
    assert "killed due to the node running low on memory" in notices[0]


def _fill_the_store() -> list[Any]:
    """Objects until the store takes no more: references, and the error that it ended with."""
    import numpy as np
    import ray

    kept: list[Any] = []
    for size in (10 * 2**20, 2**20, 150_000):
        try:
            while len(kept) < 600:
                kept.append(ray.put(np.zeros(size, np.uint8)))
        except ray.exceptions.RayError as error:
            kept.append(error)
    return kept


_MOST_CLUSTERS = 6
LARGE = {"lstm_size": 64}  # weights of less than 100 kB would not go through the store


def test_a_full_object_store_that_spills_to_disk(
    cluster: RayCluster, text_file: Path, disturbed: Disturbed
) -> None:
    kept: list[Any] = []

    def fill() -> None:
        import numpy as np
        import ray

        kept.extend(ray.put(np.zeros(10 * 2**20, np.uint8)) for _ in range(15))

    result = disturbed.train(text_file, cluster.address, fill, **LARGE)
    assert len(kept) == 15  # 150 MB in a store of 100
    assert bits_of(result) == bits_of(_train(text_file, "large", **LARGE))
    assert disturbed.repeated == 0


def test_a_full_object_store_without_a_disk_ends_training_where_it_can_continue(
    text_file: Path, disturbed: Disturbed
) -> None:
    cluster, kept = _cluster_whose_store_is_full(text_file, disturbed)
    try:
        assert Run.open(Path("disturbed")).checkpoint("latest")[0].snapshot.step == 10
        kept.clear()
        resumed = charkit.train(
            resume="disturbed", workers=1, engine="ray", address=cluster.address, threads=1
        )
    finally:
        cluster.end()
    assert bits_of(resumed) == bits_of(_train(text_file, "large", **LARGE))


def _cluster_whose_store_is_full(text: Path, disturbed: Disturbed) -> tuple[RayCluster, list[Any]]:
    """A cluster on which training ended because its store was full, and what fills it.

    Ray releases earlier weights with a delay, perhaps just after the store was filled. The next weights then fit, so
    another cluster is tried.
    """
    for _ in range(_MOST_CLUSTERS):
        with ExitStack() as ending:
            cluster, kept = RayCluster(2, environment=_NO_DISK), list[Any]()
            ending.callback(cluster.end)
            raised = ""
            try:
                disturbed.train(text, cluster.address, lambda: kept.extend(_fill_the_store()), **LARGE)  # noqa: B023 - called within this round
            except EngineError as error:
                raised = str(error)
            if raised:
                assert raised.startswith("the weights don't fit into Ray's object store: Local disk is full")
                ending.pop_all()
                return cluster, kept
        shutil.rmtree("disturbed")
    raise AssertionError(f"the weights still fitted in each of {_MOST_CLUSTERS} full stores")


_DRIVER = """
import os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import charkit
import charkit_ray.connection
charkit_ray.connection._FOLDERS = Path(os.environ.get("FOLDERS", "/tmp"))
from charkit import events

def report(event):
    if isinstance(event, events.Saved) and event.step == 10:
        print("saved", flush=True)
        sys.stdin.readline()

charkit.train(sys.argv[1], run="killed", workers=2, engine="ray", on_event=report, **{settings!r})
"""


def _driver(text: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """A driver in a process of its own, which waits at step 10 for a line of input."""
    command = [sys.executable, "-c", _DRIVER.replace("{settings!r}", repr(SHARDED)), str(text)]
    driver = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "saved\n"
    return driver


def test_a_driver_that_is_killed_leaves_no_worker_and_a_run_that_continues_on_others(
    cluster: RayCluster, text_file: Path, alone: Bits
) -> None:
    with _driver(text_file, {"RAY_ADDRESS": cluster.address}) as driver:
        workers = cluster.workers()
        assert len(workers) == 2
        driver.kill()
    assert all(_ends(worker) for worker in workers)
    resumed = charkit.train(resume="killed", workers=3, engine="ray", address=cluster.address, threads=1)
    assert bits_of(resumed) == alone


def _ends(process: int) -> bool:
    """Whether the process ends within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


#: What Ray leaves of a cluster whose driver was killed, for about a minute.
_AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def _names(processes: Sequence[int]) -> set[str]:
    """The names of the processes that have not ended yet."""
    found = set()
    for process in processes:
        try:
            found.add(
                Path(f"/proc/{process}/cmdline").read_text("utf-8", "replace").replace("\0", " ").split()[0]
            )
        except (OSError, IndexError):  # it has ended
            continue
    return found


def test_a_driver_that_is_killed_takes_its_own_cluster_along(
    text_file: Path, alone: Bits, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Path(tempfile.mkdtemp(prefix="own-", dir="/tmp"))
    with _driver(text_file, {"FOLDERS": str(folders)}) as driver:
        assert len(processes_of(str(folders))) > 2
        driver.kill()
    deadline = time.monotonic() + 60
    while not (names := _names(processes_of(str(folders)))) <= _AGENTS:
        assert time.monotonic() < deadline, names
        time.sleep(0.2)
    for process in processes_of(str(folders)):
        os.kill(process, signal.SIGKILL)  # instead of waiting for a minute until they notice
    assert left_running(str(folders)) == []
    assert len(list(folders.iterdir())) == 1  # logs and sockets, which only another process can remove
    monkeypatch.setattr("charkit_ray.connection._FOLDERS", folders)
    resumed = charkit.train(resume="killed", workers=1, engine="ray", threads=1)
    assert bits_of(resumed) == alone
    folders.rmdir()  # it is empty


def test_a_driver_whose_own_raylet_is_killed_ends_clearly(text_file: Path, alone: Bits) -> None:
    cluster = RayCluster(2)
    try:
        with _driver(text_file, {"RAY_ADDRESS": cluster.address}) as driver:
            raylet_of(cluster.head).kill()
            _, said = driver.communicate("\n", timeout=120)
        assert driver.returncode not in (0, None)
        assert "the run's last checkpoint is intact, and any backend can continue from it" in said
    finally:
        cluster.end()
    assert bits_of(charkit.train(resume="killed", threads=1)) == alone
