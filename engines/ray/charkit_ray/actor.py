"""The actor that a worker is. Each node of a cluster imports this module."""

from __future__ import annotations

from typing import Any

import ray

from charkit.distributed.services import ServiceHolder


class ServiceActor:
    """Holds a service and carries out calls, one at a time."""

    def __init__(self, service: str, values: dict[str, Any]) -> None:
        self._holder = ServiceHolder(service, values)

    def call(
        self, method: str, values: dict[str, Any], arrays: dict[str, Any], shared: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """An error message, empty if there was none, and the reply's values and arrays."""
        error, reply = self._holder.call(method, values, arrays, shared)
        return error, reply.values, reply.arrays


WorkerActor: Any = ray.remote(ServiceActor)
