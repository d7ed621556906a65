"""The harness that plants mistakes for ``toolkit compare``: it compares, and its own failures are no finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mistake is compared in a fork")
_ROOT = Path(__file__).parents[2]
#: Runs ``misses faults`` under one setting, on what the test plants; in a process of its own, which it changes.
_PROGRAM = """
import os, sys
from benchmarks import misses
from benchmarks.subtle_mistakes import SUBTLE
from charkit_numpy.backend import NumpyBackend

misses.SETTINGS = {{"plain": misses.SETTINGS["plain"]}}
_, wrong_step, *_ = SUBTLE[0]
compare_locally = misses.compare_locally

{planted}

sys.argv = ["misses", "faults", "--out", "misses.jsonl"]
misses.main()
"""


def _python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=_ROOT if arguments[0] == "-m" else folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "CHARKIT_NUMBA": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_planted_fault_is_compared_under_every_setting(tmp_path: Path) -> None:
    out = tmp_path / "misses.jsonl"
    arguments = ("--start", "15", "--count", "1", "--out", str(out))
    done = _python("-m", "benchmarks", "misses", "faults", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0: the returned state is zero: effect in 5, missed in []\n" in done.stderr
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len({line["setting"] for line in lines}) == 5
    for line in lines:
        assert (line["accused"], line["array"]) == (["wrong"], "the hidden state")
        assert line["verdict"].startswith("right is correct: ")


def test_clipping_is_compared_and_a_refused_setting_is_no_find(tmp_path: Path) -> None:
    out = tmp_path / "misses.jsonl"
    arguments = ("--start", "41", "--count", "1", "--out", str(out))
    done = _python("-m", "benchmarks", "misses", "faults", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {
        line["setting"] for line in map(json.loads, out.read_text("utf-8").splitlines()) if line["found"]
    }
    assert "no clipping: " in done.stderr
    assert "dropout, clipping" in found
    assert "weight decay, schedule" not in found  # the fault is in an optimizer that has none


def test_a_mistake_of_a_size_is_found_and_a_backend_that_ends_the_process_too(tmp_path: Path) -> None:
    planted = """
class Ending(NumpyBackend):
    def differentiate(self, forward):
        os._exit(7)

misses.planted = lambda: iter([("the step's length", wrong_step(0.1)), ("an end", Ending)])
"""
    done = _python("-c", _PROGRAM.format(planted=planted), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, (tmp_path / "misses.jsonl").read_text("utf-8").splitlines())
    assert (first["setting"], first["found"], first["accused"]) == ("plain", True, ["wrong"])
    assert (second["setting"], second["found"]) == ("", True)
    assert second["array"] == "it hangs or ends the process"


@pytest.mark.parametrize("only_with_a_mistake", [False, True])
def test_a_comparison_that_fails_itself_is_shown_and_is_no_find(
    only_with_a_mistake: bool, tmp_path: Path
) -> None:
    planted = f"""
def out_of_date(right, wrong, *arguments, **more):
    if wrong is not NumpyBackend or not {only_with_a_mistake}:
        raise TypeError("from_text() missing 1 required positional argument: 'hold'")
    return compare_locally(right, wrong, *arguments, **more)

misses.compare_locally = out_of_date
misses.planted = lambda: iter([("the step's length", wrong_step(0.1))])
"""
    done = _python("-c", _PROGRAM.format(planted=planted), folder=tmp_path)
    what = '"the step\'s length"' if only_with_a_mistake else "'no mistake'"
    assert done.returncode == 1
    assert f"the comparison of {what} failed, but not in its backend, so nothing was found:" in done.stderr
    assert "TypeError: from_text() missing 1 required positional argument: 'hold'" in done.stderr
    assert (tmp_path / "misses.jsonl").read_text("utf-8") == ""


def test_no_mistake_is_planted_where_the_right_backend_is_found_to_be_wrong(tmp_path: Path) -> None:
    planted = """
misses.NumpyBackend = wrong_step(0.1)
misses.planted = lambda: iter([("nothing", NumpyBackend)])
"""
    done = _python("-c", _PROGRAM.format(planted=planted), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "the right backend is found to be wrong when it is compared with itself under the setting 'plain', so no "
        "mistake was planted: "
    )
    assert "right is wrong: its step 1 differs from the float64 reference" in done.stderr
    assert (tmp_path / "misses.jsonl").read_text("utf-8") == ""


#: Compares a backend with one whose training diverges after ten updates, in both orders.
_DIVERGES_ALONE = """
from pathlib import Path
from benchmarks.local_comparison import compare_locally, install
from benchmarks.misses import SETTINGS, make_text
from charkit_numpy.backend import NumpyBackend

class Late(NumpyBackend):
    def build_optimizer(self, optimizer):
        update, calls = super().build_optimizer(optimizer), []

        def diverging(weights, moments, gradients, rates):
            calls.append(1)
            if len(calls) > 10:
                rates = rates._replace(learning_rate=rates.learning_rate * 1000)
            return update(weights, moments, gradients, rates)

        return diverging

install()
for pair in ((NumpyBackend, Late), (Late, NumpyBackend)):
    report = compare_locally(*pair, SETTINGS["plain"], make_text(Path()), steps=30)
    print([finding.variant for finding in report.findings], "not judged" in report.verdict)
"""


def test_one_whose_training_diverges_alone_is_wrong_and_every_step_is_judged(tmp_path: Path) -> None:
    """The settings are not to blame for it, so the other one is the reference, in whatever order they come."""
    ended = _python("-c", _DIVERGES_ALONE, folder=tmp_path)
    assert ended.stdout.splitlines() == ["['wrong'] False", "['right'] False"], ended.stderr
