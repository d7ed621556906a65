"""Fixtures of all tests: a small text, and no trace outside of the test's own folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support import SMALL_TEXT


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the harnesses in ``tests/faults``; here, since pytest reads them before it collects."""
    group = parser.getgroup("fault harnesses")
    group.addoption("--long", action="store_true", help="the long version of each harness, which takes hours")
    group.addoption("--rounds", type=int, help="rounds of each harness; unset, its own short or long number")
    group.addoption("--seed", type=int, default=1, help="what the harnesses draw from (default: %(default)s)")
    group = parser.getgroup("coverage")
    group.addoption(
        "--part", choices=("measured", "unmeasured"), help="only the tests that run with coverage, or without"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keeps Numba, wherever it is installed, to the tests that are about it; and makes Ctrl-C work in the background.

    A shell has what it runs in the background, and all that this starts, ignore Ctrl-C. Raises UsageError for options
    that contradict each other.
    """
    if config.getoption("long") and config.getoption("rounds") is not None:
        raise pytest.UsageError("--long and --rounds can't be combined; --long has a number for each harness")
    os.environ["CHARKIT_NUMBA"] = "0"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


#: The tests that run without coverage, which takes a fifth of a test's time and a third of a process's: slow ones that
#: repeat what others cover, with faults, plugins, drawn inputs and the examples of the documentation.
_UNMEASURED = (
    "benchmarks/",
    "comparison/page/test_page_in_browser.py",
    "comparison/test_compare_failures.py",
    "conformance/test_exhausted_memory.py",
    "conformance/test_faults.py",
    "conformance/test_names.py",
    "conformance/test_processes.py",
    "faults/",
    "guide/",
    "mutation/",
    "plugins/",
    "reports/test_report_in_browser.py",
    "static/",
    "system/",
)
#: The tests whose processes measure their coverage: between them they start every kind of process that charkit has.
_WITH_PROCESSES = {
    "cli/test_file_names.py",
    "cli/test_new_backend.py",
    "comparison/test_compare.py",
    "comparison/test_compare_run.py",
    "conformance/test_measure_speed.py",
    "conformance/test_memory_exhaustion.py",
    "distributed/test_worker_faults.py",
    "observers/test_csv.py",
    "sweep/test_commands.py",
    "sweep/test_spec_from_python.py",
}
#: The variable that makes a new process measure its coverage.
_MEASURING = "COVERAGE_PROCESS_CONFIG"
_measuring = os.environ.get(_MEASURING) if "PYTEST_XDIST_WORKER" in os.environ else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Lets the processes that a test and its fixtures start measure their coverage, for some tests only."""
    if _measuring is not None:
        os.environ.pop(_MEASURING, None)
        if _name(item.path) in _WITH_PROCESSES:
            os.environ[_MEASURING] = _measuring


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the files of the other part, if ``--part`` names one."""
    part = config.getoption("part")
    if part is None or collection_path.is_dir():
        return None
    return _name(collection_path).startswith(_UNMEASURED) != (part == "unmeasured") or None


def _name(path: Path) -> str:
    """A test file's path from this folder, with slashes."""
    return os.path.relpath(path, Path(__file__).parent).replace(os.sep, "/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """For ``--numprocesses auto`` one process more than there are processors, since many tests wait for others.

    ``logical``, for the frameworks that keep every processor busy, stays as it is.
    """
    return (os.cpu_count() or 1) + 1 if config.getoption("numprocesses") == "auto" else None


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every test in its own empty folder, with scratch space outside of it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("CHARKIT_SCRATCH", str(tmp_path / "scratch"))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A small text on disk."""
    path = tmp_path / "small.txt"
    path.write_text(SMALL_TEXT, "utf-8")
    return path
