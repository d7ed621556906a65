"""R12: memory, open files and threads of a long training stay flat; the speed is reported.

A round is 1,000 steps of a tiny model: two to three seconds on an idle machine, six of TensorFlow. ``--long`` makes it
about 30 minutes of each backend, and what was measured is printed with ``-rP``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.flatness import ALLOWED, LEAST_MEASUREMENTS, growing, report
from faults.rounds import Rounds
from faults.soak_process import PLANTED

TESTS = Path(__file__).parents[1]
#: Seconds that a round may take on a machine that does much else beside it.
PATIENCE_SECONDS = 120

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the system doesn't list its files"
)


def _soak(backend: str, rounds: int, seed: int, *planted: str) -> list[dict[str, float]]:
    """What a training process used after each round."""
    child = subprocess.run(
        [sys.executable, "-m", "faults.soak_process", backend, str(rounds), str(seed), *planted],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.getenv("PYTHONPATH")])),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS * (rounds + 1),
        check=False,
    )
    assert child.returncode == 0, child.stderr
    measurements = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(measurements) == rounds
    sys.stdout.write(f"{backend}: {report(measurements)}\n")
    return measurements


@pytest.mark.parametrize(
    ("backend", "long"),
    [
        ("numpy", 720),
        pytest.param("torch", 620, marks=pytest.mark.torch),
        pytest.param("tensorflow", 300, marks=pytest.mark.tensorflow),
        pytest.param("jax", 720, marks=pytest.mark.jax),
    ],
)
def test_a_long_training_stays_flat(backend: str, long: int, rounds: Rounds, seed: int) -> None:
    assert not growing(_soak(backend, max(LEAST_MEASUREMENTS, rounds(short=10, long=long)), seed))


def test_planted_leaks_are_found(seed: int) -> None:
    found = growing(_soak("numpy", 6, seed, *PLANTED))
    assert [line.partition(" ")[0] for line in found] == list(ALLOWED) == list(PLANTED)


def test_noise_is_no_growth_and_a_slow_leak_is_found_over_many_rounds() -> None:
    flat = [
        {
            "step": 1000.0 * n,
            "seconds": 2.0 * n,
            "memory": 6e7 + 3e5 * (n % 2),
            "files": 8 + n % 2,
            "threads": 3,
        }
        for n in range(1, 201)
    ]
    assert not growing(flat)
    slow = [one | {"memory": one["memory"] + 20 * one["step"]} for one in flat]  # 20 bytes per step
    assert growing(slow[:40]) == []
    assert [line.partition(" ")[0] for line in growing(slow)] == ["memory"]


def test_few_measurements_are_not_judged() -> None:
    few = [{"step": 1.0, "seconds": 1.0, "processor_seconds": 1.0, **dict.fromkeys(ALLOWED, 1.0)}] * 5
    with pytest.raises(ValueError, match="5 measurements; at least 6 make two halves"):
        growing(few)
