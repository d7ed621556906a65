"""Connecting to a Ray cluster, or starting one of this machine alone, within a time limit."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import ray

from charkit.distributed.owned_folder import OwnedFolder
from charkit.errors import EngineError, shown

#: ``ray.init`` can wait for ever for a cluster that is not there.
CONNECT_SECONDS = 120.0
#: Something must accept connections at an address within this time. Ray prints lines of its own where nothing does.
_LISTEN_SECONDS = 10.0
#: The object store of a cluster that is started here: weights and states of a few steps. Ray takes 30 % of memory.
STORE_BYTES = 512 * 2**20
#: Where a cluster that is started here keeps its sockets, whose paths must be short, and logs.
_FOLDERS = Path("/tmp")  # noqa: S108 - a folder with a name of its own is made in it
#: How long the processes of a cluster that was started here may take to end.
_END_SECONDS = 60.0


class Connection:
    """Ray, initialized in this process until ``close``. Raises EngineError where that can't be done in two minutes.

    Where ``cluster_address`` is None, a cluster is started here, which lives as long as the connection. Its processes
    end with the thread that started them (PR_SET_PDEATHSIG), so that one thread starts it, waits, and ends it.
    """

    def __init__(self, address: str | None, processors: int) -> None:
        self._address = cluster_address(address)
        if self._address is not None:
            _check_listening(self._address, "`address`" if address else "RAY_ADDRESS")
        self._processors = processors
        self._failure: Exception | None = None
        self._connected, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, name="charkit-ray", daemon=True)
        self._thread.start()
        try:
            in_time = self._connected.wait(CONNECT_SECONDS)
        except BaseException:
            self._ended.set()  # Ctrl-C: should Ray answer yet, it is left at once
            raise
        if not in_time:
            self._ended.set()
            raise EngineError(
                f"{self._where()}: no response within {CONNECT_SECONDS:.0f} s; for details, run `ray status` on "
                f"{'this machine' if self._address is None else 'its head node'}"
            )
        if self._failure is not None:
            raise EngineError(f"{self._where()}: {one_line(self._failure)}") from self._failure

    def close(self) -> None:
        """Leaves the cluster, which ends if it was started here."""
        self._ended.set()
        self._thread.join(_END_SECONDS)

    def _live(self) -> None:
        folder = None
        try:
            if self._address is None:
                folder = OwnedFolder("charkit-ray-", _FOLDERS)
            ray.init(**self._options(folder))
            self._connected.set()
            self._ended.wait()
            ray.shutdown()
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds here
            self._failure = error
        finally:
            self._connected.set()
            if folder is not None:
                folder.remove()

    def _options(self, folder: OwnedFolder | None) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if folder is None:
            return {**quiet, "address": self._address}
        return {
            **quiet,
            "address": "local",  # without it, Ray would take a cluster that it finds on this machine
            "num_cpus": max(self._processors, os.cpu_count() or 1),
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "_temp_dir": str(folder.path),
        }

    def _where(self) -> str:
        if self._address is None:
            return "a Ray cluster can't be started on this machine"
        return f"no Ray cluster at {self._address!r}"


def cluster_address(address: str | None) -> str | None:
    """Where the cluster to be used is: at the address, or at RAY_ADDRESS, as in a job that was submitted to a cluster.

    None where neither is given or what is given is "local": then a cluster is started here.
    """
    found = address or os.environ.get("RAY_ADDRESS")
    return None if found == "local" else found or None


def is_same_address(one: str, other: str) -> bool:
    """Whether two hosts with ports are the same; this machine may be called by its loopback address."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if port != other_port:
        return False
    try:
        resolved = socket.gethostbyname(host.strip("[]"))
    except (OSError, UnicodeError):
        return False
    return resolved == other_host or resolved.startswith("127.")


def _check_listening(address: str, name: str) -> None:
    """Raises EngineError for an address that Ray can't have, or where nothing listens; ``name`` says who gave it."""
    if address == "auto":  # the cluster of this machine, which Ray finds
        return
    host, _, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
    if not host or "/" in host or not is_port:
        raise EngineError(
            f"{name} must be the host and port of a Ray cluster, such as '10.0.0.1:6379', or 'auto' or 'local'; "
            f"given {shown(address)}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _LISTEN_SECONDS).close()
    except (OSError, UnicodeError) as error:  # the latter for what can't be the name of a host
        unsaid = "no response" if isinstance(error, OSError) else "not a valid host name"
        reason = getattr(error, "strerror", None) or unsaid
        raise EngineError(
            f"no Ray cluster at {address!r}: {reason}; check the address, and run `ray status` on the head node"
        ) from error


def one_line(error: BaseException) -> str:
    """What an exception says, in one line of moderate length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text:.200}"
