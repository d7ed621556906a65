"""Runs on Ray: clusters of several nodes on this machine, whose workers, nodes and raylets are lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.distributed import pool as pool_module
from charkit.errors import EngineError
from charkit.runs.records import SESSIONS
from charkit.runs.run import Run
from charkit.training import events
from charkit.training.result import TrainResult
from cli_support import Toolkit
from support import SMALL
from training_support import bits_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
SHARDED: dict[str, Any] = {
    **SMALL,
    "batch_size": 8,
    "dropout": 0.3,
    "shards": 8,
    "max_steps": 30,
    "threads": 1,
}
MEGABYTE = 2**20


def _train(text: Path, name: str, **options: Any) -> TrainResult:
    return charkit.train(text, run=name, **{**SHARDED, **options})


def _processes(name: str) -> list[int]:
    """The running processes of that name, such as raylet."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text("utf-8", errors="replace")
        except OSError:
            continue
        state = fields.rpartition(")")[2].split()[0]
        if f"({name})" in fields and state != "Z":
            found.append(int(status.parent.name))
    return found


def _no_process_remains() -> bool:
    deadline = time.monotonic() + 30
    while _processes("raylet") or _processes("gcs_server"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class NodesOfRay:
    """A cluster of a head without processors, and nodes with one each, which can be removed."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": 100 * MEGABYTE, "include_dashboard": False},
        )
        self.nodes = [self.add() for _ in range(nodes)]
        self.address: str = self._cluster.address

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=100 * MEGABYTE)

    def remove(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture
def cluster() -> Iterator[NodesOfRay]:
    made = NodesOfRay(3)
    yield made
    made.end()
    assert _no_process_remains()


def test_the_bits_are_those_of_one_process(text_file: Path) -> None:
    alone = _train(text_file, "alone")
    on_ray = _train(text_file, "on-ray", workers=2, engine="ray")
    assert bits_of(on_ray) == bits_of(alone)
    session = Run.open(on_ray.run).records(SESSIONS)[-1]
    assert (session["workers"], session["engine"]) == (2, "ray")
    assert _no_process_remains()


def _kill_a_worker(cluster: NodesOfRay) -> None:
    workers = [
        process
        for process in _processes("ray::ServiceAct")
        if b"ServiceActor" in Path(f"/proc/{process}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)


def _remove_a_node(cluster: NodesOfRay) -> None:
    cluster.remove(cluster.nodes.pop())


@pytest.mark.parametrize("lose", [_kill_a_worker, _remove_a_node])
def test_what_is_lost_changes_no_bit(
    cluster: NodesOfRay, text_file: Path, lose: Callable[[NodesOfRay], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", 0.5)
    replaced: list[str] = []

    def disturb(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 10:
            lose(cluster)
        if isinstance(event, events.WorkerReplaced):
            replaced.append(event.message)

    alone = _train(text_file, "alone")
    result = _train(
        text_file, "disturbed", workers=2, engine="ray", address=cluster.address, on_event=disturb
    )
    assert bits_of(result) == bits_of(alone)
    moved = charkit.train(resume=result.run, max_steps=35, threads=1)
    assert bits_of(moved) == bits_of(_train(text_file, "longer", max_steps=35))


def test_more_workers_than_a_cluster_has_processors_for(
    cluster: NodesOfRay, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_START_SECONDS", 20.0)
    with pytest.raises(
        EngineError, match=r"of 8 workers did not start within 20 s: the Ray cluster has 3 proc"
    ):
        _train(text_file, "too-many", workers=8, engine="ray", address=cluster.address)
    assert not Path("too-many").exists()


def test_a_cluster_that_is_not_there(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charkit_ray.engine.CONNECT_SECONDS", 5.0)
    outcome = toolkit(
        "train", text_file, "--workers=2", "--engine=ray", "--address=127.0.0.1:1", "--run=absent"
    )
    assert outcome.status == 2
    assert outcome.err.startswith("error: no Ray cluster at '127.0.0.1:1': ")
    assert outcome.err.count("\n") == 1
    assert not Path("absent").exists()
