"""What is PyTorch's own, beyond the kit."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from charkit import plugins

pytestmark = pytest.mark.torch

_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def test_the_peak_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    made = plugins.create("torch")
    assert made.device_memory_bytes() is None  # on a processor
    monkeypatch.setattr(made, "_device", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {torch.device("cuda:1"): 5}.__getitem__)
    assert made.device_memory_bytes() == 5


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch brings libgomp on Linux only")
@pytest.mark.parametrize(
    ("environment", "spins"),
    [({}, "30000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_wait_briefly_unless_somebody_says_otherwise(environment: dict[str, str], spins: str) -> None:
    """libgomp says what it has read; the process's own environment is as it was."""
    assert _waits("import charkit_torch.backend", environment) == spins


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch brings libgomp on Linux only")
@pytest.mark.parametrize(
    ("environment", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "active"}, "30000000000")],
)
def test_threads_spin_even_less_in_the_kit_unless_the_user_says_otherwise(
    environment: dict[str, str], spins: str
) -> None:
    program = "from charkit.testing import Subject; Subject('torch').backend_class()"
    assert _waits(program, environment) == spins


def _waits(program: str, environment: dict[str, str]) -> str:
    """The spins that libgomp reads while a program runs; the program must leave the environment as it was."""
    program = f"import os; before = dict(os.environ); {program}; print(dict(os.environ) == before)"
    clean = {key: value for key, value in os.environ.items() if key not in _WAITING}
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "OMP_DISPLAY_ENV": "verbose", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "True"
    (spins,) = re.findall(r"GOMP_SPINCOUNT = '(\w+)'", child.stderr)
    return str(spins)
