"""JAX on workers: the same bits with any number of them."""

from __future__ import annotations

import pytest

from workers_suite import SameBitsOnWorkers

pytestmark = pytest.mark.jax


class TestJax(SameBitsOnWorkers):
    backend = "jax"
