"""The command line on the JAX backend, and a run that moves between backends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli_support import TINY, Toolkit, lines_of, start

pytestmark = pytest.mark.jax

ON_JAX = ("--backend", "jax")
FILES = ("model.safetensors", "optimizer.safetensors", "state.safetensors")


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


@pytest.mark.parametrize(
    ("precision", "threads"), [("float32", "1"), ("float32", "2"), ("float64", "2"), ("bfloat16", "2")]
)
def test_17_and_13_steps_in_two_processes_are_30_in_one_to_the_bit(
    text_file: Path, threads: str, precision: str
) -> None:
    common = (*ON_JAX, "--threads", threads, "--precision", precision)
    options = (*TINY, *common, "--dropout", "0.3", "--warmup-steps", "20", "--epochs", "1000")
    children = (
        start("train", text_file, *options, "--run", "whole", "--max-steps", "30"),
        start("train", text_file, *options, "--run", "parts", "--max-steps", "17"),
    )
    for child in children:
        _, wrong = child.communicate(timeout=120)
        assert child.returncode == 0, wrong
    child = start("train", "--resume", "parts", *common, "--max-steps", "30")
    _, wrong = child.communicate(timeout=120)
    assert child.returncode == 0, wrong
    assert "JAX runs on" not in wrong, "the number of threads must be the one that was asked for"
    for name in FILES:
        path = Path("checkpoints", "00000030", name)
        assert (Path("parts") / path).read_bytes() == (Path("whole") / path).read_bytes()


def losses(run: str) -> dict[int, tuple[float, Any]]:
    """The loss and validation loss by step."""
    return {
        record["step"]: (record["loss"], record["validation_loss"])
        for record in lines_of(Path(run) / "metrics.jsonl")
    }


@pytest.mark.parametrize(("first", "second"), [("numpy", "jax"), ("jax", "numpy")])
def test_a_run_moves_to_another_backend_and_joins_the_unbroken_curve(
    toolkit: Toolkit, text_file: Path, first: str, second: str
) -> None:
    options = (*TINY, "--dropout", "0.3", "--epochs", "1000", "--learning-rate", "0.01", "--eval-every", "20")
    toolkit.ok("train", text_file, *options, "--backend", first, "--max-steps", "120", "--run", "whole")
    toolkit.ok("train", text_file, *options, "--backend", first, "--max-steps", "60", "--run", "parts")
    outcome = toolkit.ok("train", "--resume", "parts", "--backend", second, "--max-steps", "120")
    assert f"backend {second} (previously {first})" in outcome.err
    whole, parts = losses("whole"), losses("parts")
    assert whole.keys() == parts.keys()
    for step, (loss, validation) in whole.items():
        assert parts[step][0] == pytest.approx(loss, abs=1e-4)
        assert parts[step][1] == (None if validation is None else pytest.approx(validation, abs=1e-4))


def test_it_is_listed_as_usable(toolkit: Toolkit) -> None:
    row = next(row for row in toolkit.json("backends")["backends"] if row["name"] == "jax")
    assert (row["status"], row["distribution"], row["reason"]) == ("usable", "charkit-jax", "")
    assert row["precisions"] == ["bfloat16", "float32", "float64"]
    assert "cpu" in row["devices"]


def test_json_stays_one_object_and_standard_error_is_charkits_own(text_file: Path) -> None:
    child = start("train", text_file, *TINY, *ON_JAX, "--max-steps", "5", "--run", "r", "--json")
    out, wrong = child.communicate(timeout=120)
    assert child.returncode == 0, wrong
    assert isinstance(json.loads(out), dict)
    numpy = start("train", text_file, *TINY, "--max-steps", "5", "--run", "n", "--json")
    _, expected = numpy.communicate(timeout=120)
    assert numpy.returncode == 0, expected
    slow = ("is still loading", "reading", "encoding", "validating: ")  # what a slow machine adds
    said, usual = (
        [line for line in lines.splitlines() if not any(word in line for word in slow)]
        for lines in (wrong, expected)
    )
    assert len(said) == len(usual), wrong


def test_a_run_of_bfloat16_is_sampled_without_it(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok(
        "train", text_file, *TINY, *ON_JAX, "--precision", "bfloat16", "--max-steps", "5", "--run", "r"
    )
    toolkit.ok("sample", "r", "--length", "20")
    message = toolkit.error("train", "--resume", "r", "--max-steps", "9", "--backend", "numpy")
    assert "backend 'numpy' doesn't support precision 'bfloat16'; it supports float32, float64" in message
    assert "jax" in message.rpartition(";")[2]
