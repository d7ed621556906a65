"""Threads of a backend when the program ends: they don't keep it alive, and its calls still work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from charkit.testing.lasting_threads import names_of_threads_in
from charkit_numpy.backend import NumpyBackend
from conformance import lasting_faults
from conformance.installed_faults import install_faults, judge


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_faults(tmp_path, monkeypatch)


def test_a_thread_of_the_plugin_in_this_process_is_found(tmp_path: Path) -> None:
    ended, here = threading.Event(), Path(__file__)

    def reap() -> None:
        ended.wait()

    thread = threading.Thread(target=reap, name="free tapes")
    thread.start()
    try:
        found = [names_of_threads_in(sources) for sources in ([here], [here.parent], [tmp_path])]
    finally:
        ended.set()
    assert found == [["free tapes"], ["free tapes"], []]
    thread.join()
    assert names_of_threads_in([here]) == []


def test_a_thread_that_only_large_models_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "charkit.testing.checks.processes.names_of_threads_in", lambda _sources: ["free tapes"]
    )
    result = judge("threads_end_with_the_process", NumpyBackend)
    assert result.got == "threads that are still running: free tapes"


@pytest.mark.parametrize("backend", [lasting_faults.WaitsForEver, lasting_faults.WaitsForATime])
def test_a_thread_that_keeps_the_process_alive(backend: type[NumpyBackend]) -> None:
    result = judge("threads_end_with_the_process", backend)
    assert result.got.startswith("threads that are still running: Thread-")


def test_a_thread_that_can_not_outlive_the_main_thread() -> None:
    result = judge("threads_outlive_the_main_thread", lasting_faults.UsesAnExecutor)
    assert result.got.startswith("RuntimeError: cannot schedule new futures after")
    assert "an executor accepts no call" in result.look_at


def test_a_process_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charkit.testing.checks.processes._END_SECONDS", 3.0)
    result = judge("threads_end_with_the_process", lasting_faults.EndsLate)
    assert result.got == "a process that keeps running"
