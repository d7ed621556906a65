"""Checks whose faults need an installed plugin: threads, the order of sets, and devices."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from charkit.backend import available_threads
from charkit.testing import Subject, run_check
from charkit.testing.isolated import process
from charkit.testing.isolated.processor_use import ThreadUse, can_measure_threads
from charkit_numpy.backend import NumpyBackend
from conformance import import_faults, lasting_faults, process_faults, thread_faults
from conformance.installed_faults import CHECKS, install_faults, judge

#: After so many measurements a fault of threads counts as not found.
_MOST_MEASUREMENTS = 5


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_faults(tmp_path, monkeypatch)


def test_a_process_that_does_not_respond_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, time; print('compiling', file=sys.stderr, flush=True); time.sleep(600)"
    (tmp_path / "silent.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(process, "_REPORT_TIMEOUT_SECONDS", 2.0)
    silent = process.IsolatedProcess("silent", look_at="backend.py")
    try:
        with pytest.raises(process.ProcessEndedError) as ended:
            silent.report()
    finally:
        silent.end()
    assert ended.value.got == (
        "no response within 2 s, so the process was killed; its last output was: compiling"
    )


def test_norm_in_the_order_of_a_set() -> None:
    result = judge("results_do_not_depend_on_the_hash_seed", process_faults.HashOrder)
    assert result.got.startswith("different norms")
    assert result.got.endswith(" with PYTHONHASHSEED=2 than with 1")
    assert "optimizer.py" in result.look_at


@pytest.mark.skipif(not can_measure_threads(), reason="this system does not list the threads of a process")
@pytest.mark.parametrize(
    ("backend", "got"),
    [
        (thread_faults.IgnoresOne, "it reports 1 and 2, but"),
        (thread_faults.IgnoresTwo, "it reports 1 and 2, but"),
        (thread_faults.ReportsTwo, "it reports 2 and 2, but"),
        (thread_faults.ReportsOneUsesTwo, "it reports 1, but several ran at once"),
        (thread_faults.ReportsTwoUsesOne, "it reports 2, but 1.0 threads did the work"),
        (thread_faults.CapsThreads, f"asked for {available_threads() + 1} threads, it reports"),
        (
            thread_faults.ForgetsItsChoice,
            "and then for no particular number of threads in one process, it reports 1 and",
        ),
        (
            thread_faults.ForgetsTheUsersLimit,
            "asked for no particular number of threads with OMP_NUM_THREADS and similar variables set to 1, it",
        ),
        (thread_faults.ThreadsOfTheFirst, "it reports"),
        (thread_faults.TwiceTheThreads, "threads shared the work, which is more"),
        (thread_faults.IgnoresInEvaluationOfFew, "during the evaluation of 4 sequences"),
        (thread_faults.IgnoresInEvaluationOfSome, "during evaluation"),
        (thread_faults.IgnoresOnShards, "during training with divides_batches set to False"),
        (thread_faults.IgnoresInEvaluation, "it reports 1"),  # its idle thread may also show in training
    ],
)
def test_threads_that_are_reported_wrongly(
    backend: type[NumpyBackend], got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One measurement finds them; the kit makes more so that nothing right is found.

    On a busy machine two threads may hardly ever run at once, so that a measurement may find nothing, or find them in
    what comes next, while they wait for more work.
    """
    monkeypatch.setattr("charkit.testing.checks.threads._MEASUREMENTS", 1)
    results = []
    while not any(got in result.got for result in results):
        assert len(results) < _MOST_MEASUREMENTS, [result.got for result in results]
        results.append(judge("threads_are_reported_correctly", backend))
    result = results[-1]
    assert result.status == "failed"
    assert "self.threads" in result.look_at


def test_a_part_of_a_batch_that_is_lost_with_three_threads() -> None:
    result = judge("more_threads_compute_the_same", thread_faults.AddsTwoParts)
    assert result.got.startswith(f"with {available_threads() + 1} threads, off by ")
    assert "(gradient of lstm.0.weight_hh)" in result.got
    assert "nats" not in result.got


def test_threads_that_are_wrong_elsewhere_than_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Counter({"1": 20}), Counter({"1": 10, "2": 10})

    def measured(processes: Sequence[int]) -> list[ThreadUse]:
        return [ThreadUse(one, Counter({1: 10})), ThreadUse(two, Counter({2: 10}))]

    def measured_elsewhere(process: int) -> ThreadUse:
        return ThreadUse(two, Counter({2: 8, 1: 2}))

    monkeypatch.setattr("charkit.testing.isolated.observations.can_measure_threads", lambda: True)
    monkeypatch.setattr("charkit.testing.isolated.observations.measure_threads", measured)
    monkeypatch.setattr("charkit.testing.isolated.observations.measure_settled_threads", measured_elsewhere)
    result = judge("threads_are_reported_correctly", NumpyBackend)
    assert (
        result.got == "asked for 1 thread, it reports 1, but several ran at once 80% of the time "
        "during training with divides_batches set to False"
    )


@pytest.mark.parametrize(
    ("backend", "what"),
    [
        (process_faults.SeedsNumpy, "NumPy's random state (np.random)"),
        (process_faults.SilencesErrors, "NumPy's handling of floating-point errors (np.seterr)"),
        (process_faults.SilencesWarnings, "the warning filters"),
        (process_faults.SetsThreadsForAll, "the environment variable OMP_NUM_THREADS"),
        (process_faults.IgnoresInterrupts, "the handler for SIGINT"),
        (process_faults.Prints, "standard output (something was printed)"),
        (process_faults.LeavesFile, "the files in the current directory"),
        (process_faults.AddsAFilter, "the warning filters"),
        (process_faults.QuietLogger, "the level of the logger charkit.plugins.supervision"),
        (process_faults.CollectsAfterwards, "the garbage collector (gc)"),
        (process_faults.SpawnsProcesses, "the start method of multiprocessing"),
        (process_faults.DeletesSettings, "the environment variable GOMP_SPINCOUNT"),
        (process_faults.ForgetsVariables, "the environment variable ABACUS_NUM_BEADS"),
        (lasting_faults.DeepThreads, "the stack size of new threads (threading.stack_size)"),
        (lasting_faults.FreezesObjects, "the objects that are never collected (gc.freeze)"),
        (import_faults.SeedsOnImport, "NumPy's random state (np.random)"),
        (lasting_faults.SwitchesOften, "the thread switch interval (sys.setswitchinterval)"),
        (lasting_faults.RestoresWhatItSawFirst, "the thread switch interval (sys.setswitchinterval)"),
        (lasting_faults.RestoresAfterErrors, "the thread switch interval (sys.setswitchinterval)"),
    ],
)
def test_process_that_is_not_as_it_was(backend: type[NumpyBackend], what: str) -> None:
    result = judge("process_settings_are_unchanged", backend)
    assert result.status == "failed"
    assert result.got == f"changed: {what}"


def test_a_variable_that_is_set_for_a_while() -> None:
    assert judge("process_settings_are_unchanged", process_faults.RestoresVariables).passed


def test_a_limit_of_the_user_that_is_overridden() -> None:
    result = judge("process_settings_are_unchanged", lasting_faults.TakesAllThreads)
    assert result.got.startswith("changed: the number of threads of ")


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="this system does not say which processors a process may use, or there is one",
)
def test_process_that_is_kept_on_one_processor() -> None:
    result = judge("process_settings_are_unchanged", process_faults.PinsProcess)
    assert result.got == "changed: the processors that the process may use"


@pytest.mark.parametrize(
    "backend", [thread_faults.OneThread, thread_faults.TwoThreads, thread_faults.NewThreadInEachCall]
)
def test_threads_that_are_reported_rightly(backend: type[NumpyBackend]) -> None:
    assert judge("threads_are_reported_correctly", backend).passed


def test_process_that_ends_is_a_failure_with_its_last_words() -> None:
    result = judge("results_do_not_depend_on_the_hash_seed", process_faults.EndsTheProcess)
    assert result.status == "failed"
    assert "one thread is not enough" in result.got


def test_float32_after_float64() -> None:
    result = judge("float32_follows_another_precision", process_faults.ScaleBySize)
    assert result.got.startswith("nats: float64")


def test_versions_that_are_different_in_each_process() -> None:
    result = judge("versions_are_the_same_in_every_process", process_faults.ReportsItsProcess)
    assert result.status == "failed"
    assert result.got.startswith("process: '")


def test_versions_that_depend_on_what_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scipy").mkdir()
    for module in ("__init__", "linalg"):
        (tmp_path / "scipy" / f"{module}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    result = judge("versions_are_the_same_in_every_process", process_faults.ReportsAnotherBlas)
    assert result.status == "failed"
    assert result.got == "blas: 'of NumPy' and 'of SciPy'"
    assert "imported" in result.look_at


@pytest.mark.parametrize(
    "backend",
    [
        thread_faults.LeavesOneThread,
        thread_faults.LeavesOneThreadAfterErrors,
        thread_faults.ReportsWithOneThread,
    ],
)
def test_threads_of_blas_that_are_not_given_back(backend: type[NumpyBackend]) -> None:
    result = judge("process_settings_are_unchanged", backend)
    assert result.got.startswith("changed: the number of threads of ")


@pytest.mark.parametrize(
    ("backend", "expected", "got"),
    [
        (process_faults.ClaimsCuda, "hardware for the declared device 'cuda:0'", "none of /dev/nvidia*"),
        (process_faults.ClaimsAccelerator, "device_memory_bytes() above 0", "None"),
        (process_faults.StaysOnCpu, "a backend on 'npu:0'", "backend.device = 'cpu'"),
        (process_faults.OtherNumbers, "on 'npu:0'", ""),
        (process_faults.OnlyOtherNumbers, "on 'npu:0'", ""),
        (process_faults.SimulatesNothing, "device_memory_bytes() above 0", "0"),
    ],
)
def test_device_that_is_not_what_it_is_called(
    backend: type[NumpyBackend], expected: str, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "charkit.testing.checks.declarations._DEV", Path(os.devnull).parent / "no such folder"
    )
    result = judge("devices_can_be_used", backend)
    assert result.status == "failed"
    assert expected in result.expected
    assert got in result.got
    assert "devices()" in result.look_at


@pytest.mark.skipif(not can_measure_threads(), reason="this system does not list the threads of a process")
def test_a_backend_that_reads_the_names_of_threads() -> None:
    result = judge("results_do_not_depend_on_the_hash_seed", thread_faults.ReadsThreadNames)
    assert "UnicodeDecodeError" in result.got


def test_device_of_an_unknown_kind_that_reports_its_memory() -> None:
    assert judge("devices_can_be_used", process_faults.RightAccelerator).passed


def test_the_only_device_is_used_before_its_memory_is_read() -> None:
    assert judge("devices_can_be_used", process_faults.Simulated).passed


def test_a_device_with_its_own_memory_is_observed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[process.TrainingProcesses] = []
    start = process.start_training_processes

    def counted(subject: Subject) -> process.TrainingProcesses:
        started.append(start(subject))
        return started[-1]

    monkeypatch.setattr(process, "start_training_processes", counted)
    subject = Subject(process_faults.Simulated.name)
    try:
        for check in ("process_settings_are_unchanged", "user_defaults_do_not_matter"):
            assert run_check(CHECKS[check], subject).passed
    finally:
        subject.end()
    assert len(started) == 1
