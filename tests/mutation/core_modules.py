"""The modules of the core that mutants are made of, and the tests that must notice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mutation.mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
#: What stands for the core in a mutant's name, where a backend's mutant has the backend.
NAME = "core"


@dataclass(frozen=True)
class Module:
    """A module of ``core/charkit``, and the tests about it, the fastest first: files or names of single tests."""

    path: str
    tests: tuple[str, ...]

    def source(self) -> str:
        """The module's text."""
        return (CORE / "charkit" / self.path).read_text("utf-8")

    def mutants(self) -> list[Mutant]:
        """Every mutant that the rules make of the module."""
        return list(mutants_of(NAME, self.path, self.source()))

    def write(self, folder: Path, source: str | None) -> None:
        """Writes the core into the folder, with this text in place of the module's unless it is None."""
        shutil.copytree(
            CORE / "charkit", folder / "charkit", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        if source is not None:
            (folder / "charkit" / self.path).write_text(source, "utf-8")


_RUNS = "tests/runs/test_run.py"
_FAULTS = "tests/faults/test_file_faults.py"
#: A few of the scenarios, each with every file operation; all of them take minutes.
_KILLED = f"{_FAULTS}::test_a_kill_at_any_operation"
_FAILING = f"{_FAULTS}::test_an_error_at_any_operation"
_SAVES = (f"{_KILLED}[save in one call]", f"{_KILLED}[save of the same step in steps]")
_WRITES = (
    _RUNS,
    *_SAVES,
    f"{_KILLED}[overwrite in steps]",
    f"{_FAILING}[overwrite in steps-EIO]",
    f"{_FAILING}[export again in one call-ENOSPC]",
)
#: By a short name, in the order of the report.
MODULES = {
    "batches": Module("text/batches.py", ("tests/text/test_batches.py",)),
    "randomness": Module("randomness.py", ("tests/core/test_randomness.py",)),
    "weights": Module("weights.py", ("tests/core/test_weights.py",)),
    "sampling": Module("sampling.py", ("tests/core/test_sampling.py",)),
    "symbol_sampling": Module("symbol_sampling.py", ("tests/core/test_sampling.py",)),
    "checkpoint": Module(
        "runs/checkpoint.py",
        (
            "tests/runs/test_checkpoint.py",
            _RUNS,
            *_SAVES,
            "tests/cli/test_checkpoint_names.py",
            "tests/cli/test_check.py",
            "tests/cli/test_bad_run.py",
        ),
    ),
    "checkpoint_content": Module(
        "runs/checkpoint_content.py",
        ("tests/runs/test_checkpoint.py", _RUNS, "tests/cli/test_crafted_run.py"),
    ),
    "files_by_path": Module("runs/files_by_path.py", ("tests/runs/test_files_by_path.py", *_WRITES)),
    "new_folders": Module(
        "runs/new_folders.py",
        ("tests/runs/test_new_folders.py", "tests/runs/test_at_the_same_time.py", *_WRITES),
    ),
    "folder_files": Module(
        "runs/folder_files.py",
        (
            "tests/runs/test_folder_files.py",
            _RUNS,
            "tests/cli/test_crafted_run.py",
            "tests/cli/test_check.py",
            "tests/training/test_overwriting.py",
            *_SAVES,
            f"{_KILLED}[overwrite in steps]",
            f"{_FAILING}[overwrite in steps-EIO]",
        ),
    ),
    "debris": Module(
        "runs/debris.py",
        (
            "tests/runs/test_debris.py",
            "tests/cli/test_left_over_files.py",
            "tests/cli/test_check.py",
            "tests/training/test_overwriting.py",
            f"{_KILLED}[overwrite in steps]",
            f"{_KILLED}[save of the same step in steps]",
        ),
    ),
}
