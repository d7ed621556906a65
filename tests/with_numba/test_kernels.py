"""The compiled loops by themselves: the hyperbolic tangent, and where they keep what they compile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.numba


def tanh(values: np.ndarray) -> np.ndarray:
    """The kernels' tanh: the gate g of a time step whose products are zero, and whose row is the values."""
    from charkit_numpy.kernels import step_of_symbols

    values = np.asarray(values, np.float32)
    gates = np.zeros((1, 4 * len(values)), np.float32)
    rows = np.concatenate([np.zeros(2 * len(values)), values, np.zeros(len(values))]).astype(np.float32)
    rest = [np.zeros((1, len(values)), np.float32) for _ in range(4)]
    step_of_symbols(gates, np.zeros(1, np.int64), rows[None], *rest)
    return gates[0].reshape(4, -1)[2]


def test_tanh_is_within_units_of_the_last_place() -> None:
    values = np.concatenate([np.linspace(-12, 12, 400_001), np.geomspace(1e-38, 1e-2, 100_001)])
    values = values.astype(np.float32)
    exact = np.tanh(values.astype(np.float64))
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    units = np.abs(tanh(values) - exact) / np.where(values == 0, 1, spacing)
    assert units.max() < 2.5
    assert units.mean() < 0.3


def test_tanh_is_odd_and_keeps_what_is_special() -> None:
    values = np.array([0.1, 1.5, 8.9, 9.2, 88.0, 3e38, 1e-40, np.inf], np.float32)
    assert np.array_equal(tanh(-values), -tanh(values))
    assert tanh(values)[3:6].tolist() == [1.0, 1.0, 1.0]
    assert tanh(values)[-1] == 1.0
    assert np.isnan(tanh(np.array([np.nan]))[0])


@pytest.mark.parametrize("cache", ["kept", "/dev/null/nowhere"])
def test_the_loops_are_compiled_where_they_can_not_be_kept(cache: str, tmp_path: Path) -> None:
    folder = str(tmp_path) if cache == "kept" else cache
    program = "import charkit_numpy.kernels"
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True)
    assert bool(list(tmp_path.rglob("*.nbi"))) == (cache == "kept")
