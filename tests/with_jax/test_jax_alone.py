"""JAX is all that the JAX backend needs."""

from __future__ import annotations

from pathlib import Path

import pytest

import alone

pytestmark = pytest.mark.jax


def test_it_needs_no_other_framework(text_file: Path) -> None:
    alone.check("jax", text_file, allowed={"jax", "jaxlib"})
