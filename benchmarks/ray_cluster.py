"""A Ray cluster of several nodes on this machine, for benchmarks that take parts of it away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NODES = 3
MEGABYTE = 2**20
STORE_BYTES = 100 * MEGABYTE


def children_of(parent: int, part_of_command: bytes) -> list[int]:
    """The running children of a process whose command line contains these bytes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            status = (folder / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
            if int(status[1]) == parent and part_of_command in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return sorted(found)


class Cluster:
    """A head without processors, to which the driver connects, and nodes with one processor each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the paths of sockets must be short
        os.environ["RAY_TMPDIR"] = self.folder  # where Ray notes the address of the cluster
        Path(self.folder, "ray").mkdir()
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": self.folder}
        self._cluster = RayCluster(
            initialize_head=True, head_node_args={**head, "object_store_memory": STORE_BYTES}
        )
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []
        self._options = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "env_vars": dict(environment)}

    def restore(self) -> None:
        """Ends the workers that are left, such as a suspended one, and replaces the nodes that are gone."""
        for node in self._nodes:
            for worker in children_of(self._raylet(node).pid, b"ray::ServiceActor"):
                os.kill(worker, signal.SIGKILL)
        for node in [node for node in self._nodes if self._raylet(node).poll() is not None]:
            self.remove(node)
        while len(self._nodes) < NODES:
            self._nodes.append(self._cluster.add_node(**self._options))
        self._cluster.wait_for_nodes(timeout=60)

    def remove(self, node: Any) -> None:
        """Ends the processes of a node without notice."""
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    @staticmethod
    def _raylet(node: Any) -> subprocess.Popen[bytes]:
        """The process that manages the node and starts its workers."""
        process: subprocess.Popen[bytes] = node.all_processes["raylet"][0].process
        return process

    def worker(self) -> int:
        """One of charkit's workers."""
        return children_of(self._raylet(self.node()).pid, b"ray::ServiceActor")[0]

    def node(self) -> Any:
        """A node on which a worker runs."""
        return next(node for node in self._nodes if children_of(self._raylet(node).pid, b"ray::ServiceActor"))

    def kill_raylet(self) -> None:
        """Kills the process that manages a worker's node."""
        self._raylet(self.node()).kill()

    def end(self) -> None:
        """Ends all processes and removes their files."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def ray_cluster(environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster until the block ends; the processes of its nodes have these variables too."""
    cluster = Cluster(environment or {})
    try:
        yield cluster
    finally:
        cluster.end()
