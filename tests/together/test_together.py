"""Four backends in one environment, each in a process of its own: one curve, one text, and runs that wander."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from charkit_comparison.agreement.rounding_control import excess
from cli_support import start
from support import SMALL_TEXT
from together.backend_process import BackendProcess

pytestmark = pytest.mark.together

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
LEFT_AT, STEPS = 30, 60
SHAPE = ("--lstm-size=24", "--batch-size=8", "--num-steps=20", "--dropout=0.3", "--learning-rate=0.003")
REPORTS = ("--log-every=1", "--eval-every=1000", "--epochs=1000", "--sample-length=0", "--threads=1")
Curve = np.ndarray[Any, np.dtype[np.float64]]


class Runs:
    """The runs of all tests of this module, in one folder, each made once and by the process of its backend."""

    def __init__(self, folder: Path, processes: Mapping[str, BackendProcess]) -> None:
        self.folder, self.processes = folder, processes
        self.text = folder / "long.txt"
        self.text.write_text(SMALL_TEXT * 20, "utf-8")
        self._bands: dict[str, Any] = {}

    def made(self, backend: str, precision: str, steps: int) -> Path:
        """A run of so many steps."""
        run = self.folder / f"{backend}-{precision}-{steps}"
        if not run.exists():
            where = ("--precision", precision, "--max-steps", str(steps), "--run", run)
            self.processes[backend]("train", self.text, "--recipe=classic", *SHAPE, *REPORTS, *where)
        return run

    def too_far(self, gaps: Curve, precision: str = "float32") -> bool:
        """Whether two curves are further apart than rounding explains."""
        control = self._control(precision)
        return bool(excess(gaps, np.array(control["band"])).max() > control["factor"])

    def _control(self, precision: str) -> dict[str, Any]:
        """What rounding alone does to these runs: the control of a comparison on the same settings."""
        if precision not in self._bands:
            options = (f"--max-steps={STEPS}", "--rounds=1", "--threads=1", "--backends=numpy")
            report = toolkit("compare", self.text, *SHAPE, *options, "--precision", precision)
            self._bands[precision] = report["controls"][0]
        return dict(self._bands[precision])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A text and the runs made from it."""
    processes = {name: BackendProcess(name) for name in BACKENDS}
    yield Runs(tmp_path_factory.mktemp("together"), processes)
    for process in processes.values():
        process.close()


def toolkit(*arguments: str | Path) -> dict[str, Any]:
    """Runs a command in a process of its own; what it says as JSON."""
    child = start(*arguments, "--json")
    out, wrong = child.communicate(timeout=300)
    assert child.returncode == 0, wrong
    return dict(json.loads(out))


def curve(run: Path) -> Curve:
    """The loss of each step."""
    return np.array([json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()])


def test_all_four_are_usable() -> None:
    # The limit for one backend is no promise to a machine whose other processors are busy too.
    rows = {row["name"]: row for row in toolkit("backends", "--limit=120")["backends"]}
    assert {name: rows[name]["status"] for name in BACKENDS} == dict.fromkeys(BACKENDS, "usable")


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_pair_has_one_curve(runs: Runs, precision: str) -> None:
    curves = {name: curve(runs.made(name, precision, STEPS)) for name in BACKENDS}
    for first, second in combinations(BACKENDS, 2):
        assert len(curves[first]) == STEPS
        assert not runs.too_far(np.abs(curves[first] - curves[second]), precision), (first, second)
        assert curves[first][-1] < 0.9 * curves[first][0]


@pytest.mark.parametrize(("first", "second"), list(permutations(BACKENDS, 2)))
def test_every_ordered_pair_goes_on_where_the_other_stood(runs: Runs, first: str, second: str) -> None:
    run = runs.folder / f"{first}-{second}"
    copytree(runs.made(first, "float32", LEFT_AT), run)  # a run is a folder: a copy is a run
    runs.processes[second]("train", "--resume", run, "--max-steps", str(STEPS), "--threads=1")
    unbroken = curve(runs.made(first, "float32", STEPS))
    assert len(curve(run)) == STEPS
    assert not runs.too_far(np.abs(curve(run) - unbroken))


def test_one_run_is_scored_and_sampled_alike(runs: Runs) -> None:
    run = runs.made("numpy", "float32", STEPS)
    losses, texts = [], []
    for name in BACKENDS:
        losses.append(runs.processes[name]("evaluate", run, "--threads=1")["loss"])
        options = ("--length", "500", "--seed", "5", "--prime", "The ", "--threads=1")
        texts.append(runs.processes[name]("sample", run, *options)["samples"][0])
    assert losses == pytest.approx([losses[0]] * len(BACKENDS), abs=2e-5)
    assert texts == [texts[0]] * len(BACKENDS)
    assert len(texts[0]) == len("The ") + 500
