"""What is PyTorch's own, beyond the kit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from charkit import plugins
from charkit.backend import float_dtype
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig

pytestmark = pytest.mark.torch

_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def test_the_peak_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    made = plugins.create("torch")
    assert made.device_memory_bytes() is None  # on a processor
    monkeypatch.setattr(made, "_device", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {torch.device("cuda:1"): 5}.__getitem__)
    assert made.device_memory_bytes() == 5


def _read_only(array: Any) -> Any:
    array.setflags(write=False)
    return array


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:, ::-1],
        np.arange(3.0)[:, None][:, ::-1],
        np.arange(6, dtype=np.int32).reshape(2, 3)[::-1],
        np.array([True, True, False])[::-1],
        np.array([0.5, 0.25], ">f8"),
        np.array([0.5, 0.25], "<f4"),
        np.array([0.5, 0.25], ">f4"),
        np.array([1, 2], ">i4"),
        np.array([0.5, 0.25], np.longdouble),
        np.array([0.5, 0.25], np.float16),
        np.zeros(3, [("mask", np.bool_), ("number", np.float32)])["number"],
        np.asarray(0.5, ">f8"),
        np.empty((0, 3)),
        _read_only(np.array([0.5, 0.25])),
    ],
    ids=lambda array: f"{array.dtype.str}, strides {array.strides}, shape {array.shape}",
)
def test_arrays_of_any_strides_and_byte_order(array: Any, precision: str) -> None:
    backend = plugins.create("torch", precision=precision)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = backend.numpy(backend.tensor(array))
    assert out.dtype == (float_dtype(precision) if array.dtype.kind == "f" else array.dtype.newbyteorder("="))
    assert out.shape == array.shape
    assert np.array_equal(out, array)


def test_evaluation_computes_without_gradients() -> None:
    """Otherwise the fused kernel keeps what training needs, and gives other last bits if a user turns gradients off."""
    torch: Any = pytest.importorskip("torch")
    evaluated = plugins.create("torch").compile(lambda *_: torch.is_grad_enabled())
    assert evaluated() is False
    assert torch.is_grad_enabled()


def test_training_on_a_reversed_batch() -> None:
    symbols = np.arange(12, dtype=np.int32).reshape(3, 4) % 5
    losses = []
    for batch in (symbols[:, ::-1], symbols[:, ::-1].copy()):
        network = CharRNN.from_config(
            ModelConfig(vocabulary_size=5, lstm_size=4, num_layers=1),
            OptimizerConfig(),
            plugins.create("torch"),
            batch_size=3,
            num_steps=4,
        )
        losses.append(network.train_step(batch, batch).loss)
    assert losses[0] == losses[1]


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
