"""A run that charkit 0.1 wrote: it opens, is evaluated and sampled, and goes on to the numbers that 0.1 gave."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import charkit

OLD = Path(__file__).parents[1] / "data" / "run_of_0.1"
#: What 0.1 said of it, in nats.
VALIDATION_LOSS = 2.61100524126574
#: Another processor rounds otherwise, which these few steps amplify little.
OTHER_MACHINE = 1e-4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD / "run", tmp_path / "run"))


@pytest.fixture
def text() -> str:
    return str(OLD / "text.txt")


def computed_by(run: Path) -> tuple[str, str, str]:
    """What decides the last bits of its last session: the processor, NumPy, and its BLAS."""
    session = json.loads((run / "sessions.jsonl").read_text("utf-8").splitlines()[-1])
    return session["processor"], session["versions"]["numpy"], session["versions"]["blas"]


def test_it_opens_and_is_evaluated(run: Path, text: str) -> None:
    loaded = charkit.load_run(run, checkpoint="latest", threads=1)
    assert loaded.step == 20
    assert loaded.evaluate(text, split="validation").loss == pytest.approx(VALIDATION_LOSS, abs=1e-6)


def test_it_is_sampled(run: Path) -> None:
    (sample,) = charkit.load_run(run).sample(length=60, seed=1)
    assert len(sample) == 60
    assert set(sample) <= set(charkit.load_run(run).vocabulary.symbols)


def test_it_goes_on_as_if_it_had_not_been_stopped(run: Path, text: str) -> None:
    charkit.train(text, resume=run, max_steps=40, threads=1)
    straight = json.loads((OLD / "straight.json").read_text("utf-8"))
    reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    later = {report["step"]: report for report in reports if report["step"] > 20}
    assert later.keys() == {report["step"] for report in straight["reports"]}
    for report in straight["reports"]:
        for name, expected in report.items():
            came = later[report["step"]][name]
            assert came is None if expected is None else came == pytest.approx(expected, rel=OTHER_MACHINE)
    if computed_by(run) == computed_by(OLD / "run"):
        arrays = run / "checkpoints" / "00000040"
        digests = {
            name: hashlib.sha256((arrays / f"{name}.safetensors").read_bytes()).hexdigest()
            for name in straight["sha256"]
        }
        assert digests == straight["sha256"]
