"""JAX beside NumPy: the same curve, the same text, and runs that go from one to the other."""

from __future__ import annotations

import pytest

from parity_suite import ParityWithNumpy

pytestmark = pytest.mark.jax


class TestJax(ParityWithNumpy):
    backend = "jax"
    threads = None
