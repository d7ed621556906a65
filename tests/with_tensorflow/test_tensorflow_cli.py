"""The command line on the TensorFlow backend, and a run that moves between backends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli_support import TINY, Toolkit, lines_of, start

pytest.importorskip("charkit_tensorflow")
pytestmark = pytest.mark.tensorflow

ON_TENSORFLOW = ("--backend", "tensorflow")
STEPS = (
    *TINY,
    *ON_TENSORFLOW,
    "--batch-size",
    "9",
    "--dropout",
    "0.3",
    "--warmup-steps",
    "20",
    "--epochs",
    "1000",
)


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


def finish(*commands: Any) -> list[tuple[str, str]]:
    """Runs commands side by side, each in a process of its own; what each said on standard output and error."""
    children = [start(*command) for command in commands]
    said = [child.communicate(timeout=120) for child in children]
    for child, (_, wrong) in zip(children, said, strict=True):
        assert child.returncode == 0, wrong
    return said


def losses(run: str) -> dict[int, tuple[float, Any]]:
    """The loss and the validation loss of each report, by step."""
    records = lines_of(Path(run) / "metrics.jsonl")
    return {record["step"]: (record["loss"], record["validation_loss"]) for record in records}


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_17_and_13_steps_in_two_processes_are_30_in_one_to_the_bit(text_file: Path, precision: str) -> None:
    """On one thread as on two: the whole run has two, and the second part of the other has one."""
    common = (*STEPS, "--precision", precision)
    finish(
        ("train", text_file, *common, "--run", "whole", "--threads", "2", "--max-steps", "30"),
        ("train", text_file, *common, "--run", "parts", "--threads", "2", "--max-steps", "17"),
    )
    resumed = (*ON_TENSORFLOW, "--precision", precision, "--max-steps", "30")
    finish(("train", "--resume", "parts", *resumed, "--threads", "1"))
    for name in ("model.safetensors", "optimizer.safetensors", "state.safetensors"):
        path = Path("checkpoints", "00000030", name)
        assert (Path("parts") / path).read_bytes() == (Path("whole") / path).read_bytes()


@pytest.mark.parametrize(("first", "second"), [("numpy", "tensorflow"), ("tensorflow", "numpy")])
def test_a_run_moves_to_another_backend_and_joins_the_unbroken_curve(
    toolkit: Toolkit, text_file: Path, first: str, second: str
) -> None:
    options = (*TINY, "--dropout", "0.3", "--epochs", "1000", "--learning-rate", "0.01", "--eval-every", "20")
    toolkit.ok("train", text_file, *options, "--backend", first, "--max-steps", "120", "--run", "whole")
    toolkit.ok("train", text_file, *options, "--backend", first, "--max-steps", "60", "--run", "parts")
    outcome = toolkit.ok(
        "train", "--resume", "parts", "--backend", second, "--max-steps", "120", "--threads", "1"
    )
    assert (
        f"note: this session differs from the last one: backend {second} (previously {first})" in outcome.err
    )
    whole, parts = losses("whole"), losses("parts")
    assert whole.keys() == parts.keys()
    for step, (loss, validation) in whole.items():
        assert parts[step][0] == pytest.approx(loss, abs=1e-4)
        assert parts[step][1] == (None if validation is None else pytest.approx(validation, abs=1e-4))


def test_commands_say_no_more_than_on_another_backend(text_file: Path) -> None:
    """No line of TensorFlow's own; with --json one object. In processes of their own, where it is loaded."""
    train = ("train", text_file, *TINY, "--max-steps", "5")
    (listed, _), (trained, noise), (_, numpy) = finish(
        ("backends", "--json"),
        (*train, *ON_TENSORFLOW, "--run", "r", "--json"),
        (*train, "--run", "n"),
    )
    row = next(row for row in json.loads(listed)["backends"] if row["name"] == "tensorflow")
    assert (row["status"], row["distribution"], row["reason"]) == ("usable", "charkit-tensorflow", "")
    assert row["precisions"] == ["bfloat16", "float32", "float64"]
    assert row["devices"][0] == "cpu"
    assert trained.count("\n") == 1
    assert json.loads(trained)["step"] == 5
    assert beginnings(noise) <= beginnings(numpy)
    (text, said), (numpys, _) = finish(
        ("sample", "r", *ON_TENSORFLOW, "--seed", "3", "--length", "50"),
        ("sample", "r", "--seed", "3", "--length", "50"),
    )
    assert [line for line in said.splitlines() if "is still loading" not in line] == []
    assert text == numpys


def beginnings(said: str) -> set[str]:
    """The first words of the lines, but for the runs' names and what a slow machine adds."""
    lines = [line for line in said.splitlines() if "is still loading" not in line]
    return {line.split()[0] for line in lines} - {"r:", "n:", "reading", "encoding"}


def test_both_backends_score_and_sample_alike(toolkit: Toolkit, text_file: Path) -> None:
    options = (*TINY, *ON_TENSORFLOW, "--max-steps", "100", "--learning-rate", "0.01")
    toolkit.ok("train", text_file, *options, "--run", "r")
    names = ("numpy", "tensorflow")
    numpy, tensorflow = (toolkit.json("evaluate", "r", "--backend", name) for name in names)
    assert tensorflow["loss"] == pytest.approx(numpy["loss"], abs=2e-5)
    assert tensorflow["symbols"] == numpy["symbols"]
    texts = [
        toolkit.ok("sample", "r", "--backend", name, "--seed", "3", "--length", "500").out for name in names
    ]
    assert texts[0] == texts[1]


def test_a_run_of_bfloat16_is_sampled_without_it(toolkit: Toolkit, text_file: Path) -> None:
    options = (*TINY, *ON_TENSORFLOW, "--precision", "bfloat16", "--max-steps", "5")
    toolkit.ok("train", text_file, *options, "--run", "r")
    toolkit.ok("sample", "r", "--length", "20")
    message = toolkit.error("train", "--resume", "r", "--max-steps", "9", "--backend", "numpy")
    assert "backend 'numpy' doesn't support precision 'bfloat16'; it supports float32, float64" in message
    assert "tensorflow" in message.partition("; ")[2]
