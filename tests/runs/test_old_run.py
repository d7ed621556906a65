"""Runs that earlier charkits wrote, one of each format: they open, are scored and sampled, and go on to their numbers.

What decides the bits of a resumed run is the backend, its libraries and the processor. Recorded for any processor are
the batches, the masks and the resets of the steps to come, and initial weights that no library has a part in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.randomness import dropout_masks, state_resets
from charkit.runs.config_file import FORMAT
from charkit.runs.run import Run
from charkit.text.corpus import open_corpus
from charkit.training.session import training_batches
from charkit.weights import initial_weights
from cli_support import Toolkit, only_error

DATA = Path(__file__).parents[1] / "data"
#: A run of each format, by its folder; the text of the first lies beside it, that of the second in it.
RUNS = {1: "run_of_0.1", 2: "run_of_format_2"}
#: How far a resumed run may be from its record on another processor, which rounds otherwise: relative, by precision.
OTHER_PROCESSOR = {"float32": 1e-4, "float64": 1e-9}


@pytest.fixture(params=list(RUNS))
def old(request: pytest.FixtureRequest) -> Path:
    """The folder with the run and its record."""
    return DATA / RUNS[request.param]


@pytest.fixture
def run(old: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(old / "run", tmp_path / "run"))


@pytest.fixture
def text(old: Path, run: Path) -> Path:
    outside = old / "text.txt"
    return outside if outside.exists() else run / "text.txt"


@pytest.fixture
def recorded(old: Path) -> dict[str, Any]:
    """What the charkit that wrote the run made of it, without a stop."""
    return dict(json.loads((old / "straight.json").read_text("utf-8")))


def computed_by(run: Path) -> tuple[str, str, str]:
    """What decides the last bits of its last session: the processor, NumPy, and its BLAS."""
    session = json.loads((run / "sessions.jsonl").read_text("utf-8").splitlines()[-1])
    return session["processor"], session["versions"]["numpy"], session["versions"]["blas"]


def digest(*arrays: Any) -> str:
    """The SHA-256 of the arrays' bytes, little endian."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return hashed.hexdigest()


def exact(run: Path, text: Path, steps: range) -> dict[str, str]:
    """Digests of what is the same on any processor: the inputs of these steps, and uniform initial weights."""
    opened = Run.open(run)
    config = opened.config
    shape = (config.model.num_layers, config.data.batch_size, config.data.num_steps, config.model.lstm_size)
    seed, training = config.training.seed, config.training
    with open_corpus(config.data.model_copy(update={"text": (str(text),)}), opened.vocabulary) as corpus:
        batches = training_batches(corpus, config.data, seed)
        found = {"batches": digest(*(array for step in steps for array in batches.of_step(step)))}
    found["masks"] = digest(*(dropout_masks(seed, step, shape, config.model.dropout) for step in steps))
    resets = (state_resets(seed, step, config.data.batch_size, training.reset_probability) for step in steps)
    found["resets"] = digest(*resets)
    if training.initialization == "uniform":
        found["weights"] = digest(*initial_weights(config.model, seed, "uniform").values())
    return found


def test_there_is_a_run_of_each_format() -> None:
    formats = {
        json.loads((DATA / name / "run" / "config.json").read_text())["format"] for name in RUNS.values()
    }
    assert formats == set(RUNS) == set(range(1, FORMAT + 1))


def test_it_opens_and_is_evaluated(run: Path, text: Path, recorded: dict[str, Any]) -> None:
    loaded = charkit.load_run(run, checkpoint="latest", threads=1)
    assert loaded.step == recorded["step"]
    found = loaded.evaluate(text, split="validation").loss
    assert found == pytest.approx(recorded["validation_loss"], abs=1e-6)


def test_it_is_sampled(run: Path) -> None:
    (sample,) = charkit.load_run(run).sample(length=60, seed=1)
    assert len(sample) == 60
    assert set(sample) <= set(charkit.load_run(run).vocabulary.symbols)


def test_it_is_exported(run: Path, tmp_path: Path) -> None:
    charkit.export(run, tmp_path / "old.safetensors")
    assert (tmp_path / "old.safetensors").exists()


def test_what_it_trains_on_is_the_same_on_any_processor(
    run: Path, text: Path, recorded: dict[str, Any]
) -> None:
    step = recorded["step"]
    assert exact(run, text, range(step + 1, step + 21)) == recorded["exact"]


def test_it_goes_on_as_if_it_had_not_been_stopped(
    run: Path, text: Path, old: Path, recorded: dict[str, Any]
) -> None:
    last = recorded["reports"][-1]["step"]
    precision = Run.open(run).config.training.precision
    charkit.train(text, resume=run, max_steps=last, threads=1)
    reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    later = {report["step"]: report for report in reports if report["step"] > recorded["step"]}
    assert later.keys() == {report["step"] for report in recorded["reports"]}
    for report in recorded["reports"]:
        for name, expected in report.items():
            came = later[report["step"]][name]
            near = OTHER_PROCESSOR[precision]
            assert came is None if expected is None else came == pytest.approx(expected, rel=near)
    if computed_by(run) == computed_by(old / "run"):
        arrays = run / "checkpoints" / f"{last:08d}"
        digests = {
            name: hashlib.sha256((arrays / f"{name}.safetensors").read_bytes()).hexdigest()
            for name in recorded["sha256"]
        }
        assert digests == recorded["sha256"]


@pytest.mark.parametrize(
    ("writer", "needed"),
    [
        ("0.4.2", "charkit 0.4.2 or later"),
        ("1.0rc1", "charkit 1.0rc1 or later"),
        (None, "a later version of charkit"),
    ]
    + [(odd, "a later version of charkit") for odd in ("\x1b[2J", "1\n2", ["0.4"], "9" * 400)],
)
def test_a_run_of_a_later_format_says_which_charkit_reads_it(
    run: Path, writer: object, needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((run / "config.json").read_text("utf-8"))
    content |= {"format": FORMAT + 1, "charkit": writer, "config": {"unheard": "of"}}
    (run / "config.json").write_text(json.dumps(content), "utf-8")
    outcome = Toolkit(capsys)("sample", run)
    assert outcome.status == 2
    message = only_error(outcome.err)
    assert message.endswith(f"reads formats 1 to {FORMAT}; use {needed}")
    assert f"is in format {FORMAT + 1}" in message
