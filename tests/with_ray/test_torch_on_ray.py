"""PyTorch on Ray: the same bits with any number of workers, and as on local ones."""

from __future__ import annotations

import pytest

from workers_suite import SameBitsOnWorkers

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


class TestTorchOnRay(SameBitsOnWorkers):
    backend = "torch"
    counts = (1, 4)
    engine = "ray"
