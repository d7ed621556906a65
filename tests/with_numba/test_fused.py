"""The compiled time steps compute what NumPy computes: gradients, predictions, training, and the kit's verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.charrnn import CharRNN
from charkit.testing import run_checks
from charkit_numpy.layer_inputs import ONE_HOT_LIMIT
from charkit_numpy.numba_support import load_kernels
from support import SMALL
from training_support import weights_of

pytestmark = pytest.mark.numba


def network(numba: bool = True, **settings: Any) -> CharRNN[Any]:
    """A network with Numba, or the reference in float64, which does without."""
    shape = {"vocabulary_size": 11, "batch_size": 4, "num_steps": 6, "lstm_size": 20, "num_layers": 2}
    precision = "float32" if numba else "float64"
    return CharRNN(
        **{**shape, "backend": "numpy", "precision": precision, "threads": 1, "seed": 5, **settings}
    )


def batch(model: CharRNN[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, in which not every symbol occurs."""
    random = np.random.default_rng(3)
    symbols = random.integers(1, model.config.vocabulary_size, (model.batch_size, model.num_steps + 1))
    return symbols[:, :-1].astype(np.int32), symbols[:, 1:].astype(np.int32)


SHAPES: dict[str, dict[str, Any]] = {
    "two layers": {},
    "one layer": {"num_layers": 1},
    "three layers, dropout": {"num_layers": 3, "dropout": 0.4},
    "one sequence": {"batch_size": 1, "dropout": 0.2},
    "an odd batch": {"batch_size": 5},
    "one time step": {"num_steps": 1},
    "one unit": {"lstm_size": 1},
    "two threads": {"threads": 2, "batch_size": 7},
    "many symbols": {"vocabulary_size": ONE_HOT_LIMIT + 5},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_and_training_are_those_of_float64(shape: str) -> None:
    fused, exact = (network(numba, **SHAPES[shape]) for numba in (True, False))
    inputs, targets = batch(fused)
    for _ in range(3):
        ours, reference = fused.train_step(inputs, targets), exact.train_step(inputs, targets)
        assert ours.loss == pytest.approx(reference.loss, rel=1e-6)
        assert ours.gradient_norm == pytest.approx(reference.gradient_norm, rel=1e-5)
    for name, weight in exact.weights().items():
        np.testing.assert_allclose(fused.weights()[name], weight, rtol=0, atol=2e-5, err_msg=name)


KERNELS = ("step_of_symbols", "step_of_features", "step_back", "add_by_symbol", "update_with_adam")


def test_the_compiled_loops_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    kernels = load_kernels()
    for name in KERNELS:
        kernel = getattr(kernels, name)
        monkeypatch.setattr(
            kernels, name, lambda *arrays, name=name, kernel=kernel: (used.append(name), kernel(*arrays))
        )
    model = network()
    model.train_step(*batch(model))
    assert set(used) == {*KERNELS}


def test_one_thread_and_two_give_the_same_bits() -> None:
    one, two = (network(threads=threads, dropout=0.3) for threads in (1, 2))
    for _ in range(5):
        one.train_step(*batch(one))
        two.train_step(*batch(two))
    for name, weight in one.weights().items():
        assert np.array_equal(weight, two.weights()[name]), name


def test_the_kit_is_green() -> None:
    results = run_checks("numpy")
    assert any(result.status == "passed" for result in results)
    assert [
        f"{result.name}: {result.got}"
        for result in results
        if result.status not in {"passed", "not declared"}
    ] == []


def test_the_kit_finds_a_fault_in_the_compiled_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient through the forget gate is left out, as if ``step_back`` had lost a line."""

    def forgetful(deltas: Any, *arrays: Any) -> None:
        step_back(deltas, *arrays)
        unit = deltas.shape[1] // 4
        deltas[:, unit : 2 * unit] = 0

    kernels = load_kernels()
    step_back = kernels.step_back
    monkeypatch.setattr(kernels, "step_back", forgetful)
    assert any(result.status == "failed" for result in run_checks("numpy", stages=("gradients",)))


def test_a_run_resumes_to_the_bit_and_a_session_without_numba_is_reported(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = charkit.train(text_file, backend="numpy", max_steps=12, dropout=0.2, **SMALL)
    begun = charkit.train(text_file, backend="numpy", max_steps=12, stop_at=7, dropout=0.2, **SMALL)
    resumed = charkit.train(resume=begun.run, backend="numpy")
    for name, weight in weights_of(whole).items():
        assert np.array_equal(weight, weights_of(resumed)[name]), name
    monkeypatch.setenv("CHARKIT_NUMBA", "0")
    notices: list[str] = []
    charkit.train(
        resume=begun.run,
        backend="numpy",
        max_steps=14,
        on_event=lambda event: notices.extend(getattr(event, "notices", ())),
    )
    assert any("numba none" in notice for notice in notices)


def test_sampling_one_stream_does_not_load_the_compiled_loops(text_file: Path) -> None:
    run = charkit.train(text_file, backend="numpy", max_steps=2, **SMALL).run
    program = f"import charkit, sys; charkit.load_run({str(run)!r}).sample(length=20); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "False\n"
