"""Clusters of several nodes on this machine, the processes that they consist of, and what they leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MEGABYTE = 2**20


def processes_of(folder: str) -> list[int]:
    """The running processes that hold a file of the folder: a cluster's write their logs there.

    Neither their command lines nor their environments tell: Ray's workers write a title over both.
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
        self, nodes: int, *, store_bytes: int = 100 * MEGABYTE, environment: Mapping[str, str] | None = None
    ) -> None:
        from ray.cluster_utils import Cluster

        self._store_bytes = store_bytes
        #: Where all of its processes keep their sockets and logs, so that they can be told from others.
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
        if environment:
            given["env_vars"] = dict(environment)
        node = self._cluster.add_node(**given)
        self.nodes.append(node)
        return node

    def remove(self, node: Any) -> None:
        """Ends the processes of a node, which tells nobody."""
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
