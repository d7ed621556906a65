"""Ray clusters of several nodes on this machine, the processes that they consist of, and what they leave behind.

For tests and benchmarks that take parts of a cluster away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MEGABYTE = 2**20


def processes_of(folder: str) -> list[int]:
    """The running processes that hold a file of the folder: a cluster's write their logs there.

    Their command lines and environments can't identify them, because Ray's workers overwrite both with a title.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = {os.readlink(handle) for handle in (process / "fd").iterdir()}
        except OSError:  # the process has ended, or is another user's
            continue
        if int(process.name) != os.getpid() and any(path.startswith(folder) for path in held):
            found.append(int(process.name))
    return found


def left_running(folder: str, seconds: float = 60) -> list[int]:
    """The processes of the folder that are still there after that time; none is what should be."""
    deadline = time.monotonic() + seconds
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


class RayCluster:
    """A head without processors, to which the driver connects, and nodes with one processor each."""

    def __init__(
        self,
        nodes: int,
        *,
        store_bytes: int = 100 * MEGABYTE,
        environment: Mapping[str, str] | None = None,
        node_environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` has variables of the head, ``node_environment`` those of the nodes that are added later."""
        from ray.cluster_utils import Cluster

        self._store_bytes, self._node_environment = store_bytes, dict(node_environment or {})
        #: Where all of its processes keep their sockets and logs, which distinguishes them from other processes.
        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": store_bytes,
                "include_dashboard": False,
                "temp_dir": self.folder,
                "env_vars": dict(environment or {}),
            },
        )
        self.address: str = self._cluster.address
        self.head: Any = self._cluster.head_node
        self.nodes: list[Any] = []
        self.restore(nodes)

    def add(self, environment: Mapping[str, str] | None = None, **options: Any) -> Any:
        """Adds a node, whose processes have these variables too."""
        given = {"num_cpus": 1, "object_store_memory": self._store_bytes, **options}
        if variables := {**self._node_environment, **(environment or {})}:
            given["env_vars"] = variables
        node = self._cluster.add_node(**given)
        self.nodes.append(node)
        return node

    def remove(self, node: Any) -> None:
        """Ends the processes of a node, without notifying the cluster."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def restore(self, nodes: int) -> None:
        """Ends the nodes whose raylet was killed, and adds others until there are so many."""
        for node in list(self.nodes):
            if raylet_of(node).poll() is not None:
                self.remove(node)
        while len(self.nodes) < nodes:
            self.add()
        self.settle()

    def settle(self) -> None:
        """Waits until the cluster knows which nodes it has: one that vanished is noticed after up to 15 s."""
        self._cluster.wait_for_nodes(timeout=60)

    def workers(self) -> list[int]:
        """The processes of charkit's workers."""
        return sorted(
            process
            for process in processes_of(self.folder)
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::ServiceActor")
        )

    def node_of_a_worker(self) -> Any:
        """A node on which one of charkit's workers runs."""
        parent = _parent_of(self.workers()[0])
        return next(node for node in self.nodes if raylet_of(node).pid == parent)

    def end(self) -> None:
        """Ends all processes and removes what they wrote. Fails where one outlives it."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        left = left_running(self.folder)
        for process in left:
            os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert left == []


def raylet_of(node: Any) -> subprocess.Popen[bytes]:
    """The process that manages a node; the workers there end with it."""
    ((raylet,),) = (values for name, values in node.all_processes.items() if name == "raylet")
    process: subprocess.Popen[bytes] = raylet.process
    return process


def children_of(parent: int, part_of_command: bytes) -> list[int]:
    """The running children of a process whose command line contains these bytes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            process = int(folder.name)
            if _parent_of(process) == parent and part_of_command in (folder / "cmdline").read_bytes():
                found.append(process)
    return sorted(found)


def _parent_of(process: int) -> int:
    status = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    return int(status.rpartition(")")[2].split()[1])


def memory_use(additional_bytes: int) -> float:
    """The share of this machine's memory that is in use with so many bytes more, as Ray counts it."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total = kilobytes["MemTotal"]
    return (total - kilobytes["MemAvailable"] + additional_bytes / 1024) / total


@contextmanager
def ray_cluster(nodes: int, node_environment: Mapping[str, str] | None = None) -> Iterator[RayCluster]:
    """A cluster until the block ends; Ray notes its address in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ray").mkdir()
        os.environ["RAY_TMPDIR"] = folder
        cluster = RayCluster(nodes, node_environment=node_environment)
        try:
            yield cluster
        finally:
            cluster.end()
