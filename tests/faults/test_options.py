"""The options of the harnesses: rounds, seed, and the command that repeats a failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTESTS = (Path(__file__).parents[1] / "conftest.py", Path(__file__).parent / "conftest.py")
FAILING = "def test_it(rounds, seed):\n    assert (rounds(short=3, long=5), seed) == (0, 0)\n"


def _run(folder: Path, *options: str, status: int = 1) -> str:
    """What pytest prints of a failing harness that has these options, ending with the status."""
    for path, name in zip(CONFTESTS, (folder, folder / "inner"), strict=True):
        name.mkdir(exist_ok=True)
        (name / "conftest.py").write_text(path.read_text("utf-8"), "utf-8")
    (folder / "inner" / "test_failing.py").write_text(FAILING, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n", "utf-8")
    command = [sys.executable, "-m", "pytest", f"--override-ini=pythonpath={CONFTESTS[0].parent}", *options]
    child = subprocess.run(
        [*command, "inner"], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    assert child.returncode == status, child.stdout + child.stderr
    return child.stdout + child.stderr


def test_the_short_column_and_a_fixed_seed_are_the_default(tmp_path: Path) -> None:
    said = _run(tmp_path)
    assert "(3, 1) == (0, 0)" in said
    assert "pytest inner/test_failing.py::test_it --seed 1\n" in said


def test_both_can_be_given_and_are_repeated(tmp_path: Path) -> None:
    said = _run(tmp_path, "--rounds", "200", "--seed", "7")
    assert "(200, 7) == (0, 0)" in said
    assert "pytest inner/test_failing.py::test_it --seed 7 --rounds 200\n" in said


def test_the_long_column_has_a_number_of_each_harness(tmp_path: Path) -> None:
    said = _run(tmp_path, "--long")
    assert "(5, 1) == (0, 0)" in said
    assert "pytest inner/test_failing.py::test_it --seed 1 --long\n" in said


def test_the_long_column_and_a_number_of_rounds_are_refused_together(tmp_path: Path) -> None:
    said = _run(tmp_path, "--long", "--rounds", "200", status=4)
    assert "ERROR: --long and --rounds can't be combined; --long has a number for each harness\n" in said
