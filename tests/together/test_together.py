"""Four backends in one environment, each in a process of its own: one curve, one text, and runs that wander."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from charkit_comparison.agreement.rounding_control import excess
from cli_support import start
from support import SMALL_TEXT

pytestmark = pytest.mark.together

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
LEFT_AT, STEPS = 30, 60
SHAPE = ("--lstm-size=24", "--batch-size=8", "--num-steps=20", "--dropout=0.3", "--learning-rate=0.003")
REPORTS = ("--log-every=1", "--eval-every=1000", "--epochs=1000", "--sample-length=0", "--threads=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text and the runs made from it, for all tests of this module."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "long.txt").write_text(SMALL_TEXT * 20, "utf-8")
    return folder


def toolkit(*arguments: str | Path) -> dict[str, Any]:
    """Runs a command in a process of its own; what it says as JSON."""
    child = start(*arguments, "--json")
    out, wrong = child.communicate(timeout=120)
    assert child.returncode == 0, wrong
    return dict(json.loads(out))


@cache
def run_of(folder: Path, backend: str, precision: str, steps: int) -> Path:
    """A run of so many steps; made once."""
    run = folder / f"{backend}-{precision}-{steps}"
    where = ("--backend", backend, "--precision", precision, "--max-steps", str(steps), "--run", run)
    toolkit("train", folder / "long.txt", "--recipe=classic", *SHAPE, *REPORTS, *where)
    return run


def curve(run: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The loss of each step."""
    return np.array([json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()])


def test_all_four_are_usable() -> None:
    rows = {row["name"]: row for row in toolkit("backends")["backends"]}
    assert {name: rows[name]["status"] for name in BACKENDS} == dict.fromkeys(BACKENDS, "usable")


@cache
def control_of(folder: Path, precision: str) -> dict[str, Any]:
    """What rounding alone does to these runs: the control of a comparison on the same settings."""
    options = (
        "--max-steps",
        str(STEPS),
        "--rounds=1",
        "--precision",
        precision,
        "--threads=1",
        "--backends=numpy",
    )
    report = toolkit("compare", folder / "long.txt", *SHAPE, *options)
    return dict(report["controls"][0])


def too_far(gaps: np.ndarray[Any, np.dtype[np.float64]], folder: Path, precision: str = "float32") -> bool:
    """Whether two curves are further apart than rounding explains."""
    control = control_of(folder, precision)
    return bool(excess(gaps, np.array(control["band"])).max() > control["factor"])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_pair_has_one_curve(folder: Path, precision: str) -> None:
    curves = {name: curve(run_of(folder, name, precision, STEPS)) for name in BACKENDS}
    for first, second in combinations(BACKENDS, 2):
        assert len(curves[first]) == STEPS
        assert not too_far(np.abs(curves[first] - curves[second]), folder, precision), (first, second)
        assert curves[first][-1] < 0.9 * curves[first][0]


@pytest.mark.parametrize(("first", "second"), list(permutations(BACKENDS, 2)))
def test_every_ordered_pair_goes_on_where_the_other_stood(folder: Path, first: str, second: str) -> None:
    begun = run_of(folder, first, "float32", LEFT_AT)
    run = folder / f"{first}-{second}"
    copytree(begun, run)  # a run is a folder: a copy is a run
    toolkit("train", "--resume", run, "--backend", second, "--max-steps", str(STEPS), "--threads", "1")
    unbroken = curve(run_of(folder, first, "float32", STEPS))
    assert len(curve(run)) == STEPS
    assert not too_far(np.abs(curve(run) - unbroken), folder)


def test_one_run_is_scored_and_sampled_alike(folder: Path) -> None:
    run = run_of(folder, "numpy", "float32", STEPS)
    losses, texts = [], []
    for name in BACKENDS:
        losses.append(toolkit("evaluate", run, "--backend", name)["loss"])
        drawn = toolkit("sample", run, "--backend", name, "--length", "500", "--seed", "5", "--prime", "The ")
        texts.append(drawn["samples"][0])
    assert losses == pytest.approx([losses[0]] * len(BACKENDS), abs=2e-5)
    assert texts == [texts[0]] * len(BACKENDS)
    assert len(texts[0]) == len("The ") + 500
