"""A service that says where its worker is, and what it was given."""

from __future__ import annotations

import os
from typing import Any

from charkit.distributed.engine import Arrays, Reply, Values


class Reporter:
    """Reports its settings, the GPUs that it sees and the resources that are its own."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def call(self, method: str, values: Values, arrays: Arrays, shared: Arrays) -> Reply:
        import ray

        resources = ray.get_runtime_context().get_assigned_resources()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return Reply({**self._values, "visible": visible, "resources": resources}, {})
