"""Checks of what happens when memory runs out, whose faults need an installed plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from charkit.testing import Subject, run_check
from charkit.testing.isolated import process
from charkit.testing.memory import can_limit_memory
from charkit_numpy.backend import NumpyBackend
from conformance import memory_error_faults
from conformance.installed_faults import CHECKS, install_faults, judge


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_faults(tmp_path, monkeypatch)


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_memory_that_runs_out_as_an_error_of_the_framework() -> None:
    result = judge("running_out_of_memory_raises_memory_error", memory_error_faults.OwnMemoryError)
    assert result.got.startswith("RuntimeError: allocator: Unable to allocate 16.0 GiB")
    assert "compile()" in result.look_at


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
@pytest.mark.parametrize(
    ("backend", "what"),
    [
        (memory_error_faults.TensorsOwnMemoryError, "an array that is not contiguous"),
        (memory_error_faults.CopiesOwnMemoryError, "a contiguous array"),
    ],
)
def test_memory_that_runs_out_in_a_copy(backend: type[NumpyBackend], what: str) -> None:
    result = judge("running_out_of_memory_raises_memory_error", backend)
    assert result.expected.startswith("MemoryError from tensor()")
    assert result.got.startswith(f"{what}: RuntimeError: allocator: ")


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_an_error_that_is_kept_when_memory_runs_out() -> None:
    result = judge("errors_of_exhausted_memory_are_released", memory_error_faults.KeepsItsError)
    assert "the error is still referenced" in result.got
    assert judge("errors_of_exhausted_memory_are_released", memory_error_faults.TranslatesOom).passed


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_an_error_that_a_variable_keeps_when_memory_runs_out() -> None:
    result = judge("errors_of_exhausted_memory_are_released", memory_error_faults.NamesItsError)
    assert result.got.startswith("the variable failure at ")
    assert " refers to the MemoryError, whose traceback refers back to the variable; " in result.got


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_calls_that_are_refused_once_memory_is_free() -> None:
    result = judge("calls_work_once_memory_is_free", memory_error_faults.RefusesForGood)
    assert result.got == "a training step: MemoryError: there is not enough memory"
    assert judge("calls_work_once_memory_is_free", memory_error_faults.TranslatesOom).passed


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
@pytest.mark.parametrize("backend", [memory_error_faults.RaisesOom, memory_error_faults.TranslatesOom])
def test_memory_that_runs_out_as_a_subclass_of_memory_error(backend: type[NumpyBackend]) -> None:
    assert judge("running_out_of_memory_raises_memory_error", backend).passed


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
@pytest.mark.parametrize(
    "end", [Subject.end, lambda subject: subject.end(process.shared_training_processes(subject))]
)
def test_memory_runs_out_in_new_processes_too(end: Callable[[Subject], None]) -> None:
    subject = Subject(memory_error_faults.OwnMemoryError.name)
    try:
        assert run_check(CHECKS["process_settings_are_unchanged"], subject).passed
        end(subject)
        result = run_check(CHECKS["running_out_of_memory_raises_memory_error"], subject)
    finally:
        subject.end()
    assert result.got.startswith("RuntimeError: allocator: ")


def test_another_report_is_none_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "charkit.testing.checks.robustness.memory_exhaustion_report",
        lambda subject: {"threads": 1, "dtype": ""},
    )
    result = judge("running_out_of_memory_raises_memory_error", NumpyBackend)
    assert (result.status, result.got) == ("failed", "a report of threads, dtype")


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_another_error_that_is_taken_for_memory() -> None:
    result = judge("running_out_of_memory_raises_memory_error", memory_error_faults.EveryErrorIsMemoryError)
    assert result.expected == "an ArithmeticError unrelated to memory, raised unchanged"
    assert result.got.startswith("MemoryError: ")
