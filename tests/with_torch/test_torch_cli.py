"""The command line on the PyTorch backend, and a run that moves between backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_support import TINY, Toolkit, lines_of, start

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ON_TORCH = ("--backend", "torch")


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


def losses(run: str) -> list[tuple[int, float, Any]]:
    """The step, loss and validation loss of each report."""
    return [
        (record["step"], record["loss"], record["validation_loss"])
        for record in lines_of(Path(run) / "metrics.jsonl")
    ]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_17_and_13_steps_in_two_processes_are_30_in_one_to_the_bit(
    text_file: Path, threads: str, precision: str
) -> None:
    common = (*ON_TORCH, "--threads", threads, "--precision", precision)
    options = (*TINY, *common, "--dropout", "0.3", "--warmup-steps", "20", "--epochs", "1000")
    commands = (
        ("train", text_file, *options, "--run", "whole", "--max-steps", "30"),
        ("train", text_file, *options, "--run", "parts", "--max-steps", "17"),
        ("train", "--resume", "parts", *common, "--max-steps", "30"),
    )
    for command in commands:
        child = start(*command)
        _, wrong = child.communicate(timeout=120)
        assert child.returncode == 0, wrong
    for name in ("model.safetensors", "optimizer.safetensors", "state.safetensors"):
        path = Path("checkpoints", "00000030", name)
        assert (Path("parts") / path).read_bytes() == (Path("whole") / path).read_bytes()


@pytest.mark.parametrize(("first", "second"), [("numpy", "torch"), ("torch", "numpy")])
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
    whole, parts = dict_of(losses("whole")), dict_of(losses("parts"))
    assert whole.keys() == parts.keys()
    for step, (loss, validation) in whole.items():
        assert parts[step][0] == pytest.approx(loss, abs=1e-4)
        assert parts[step][1] == (None if validation is None else pytest.approx(validation, abs=1e-4))


def dict_of(records: list[tuple[int, float, Any]]) -> dict[int, tuple[float, Any]]:
    """The losses by step."""
    return {step: (loss, validation) for step, loss, validation in records}


def test_both_backends_score_and_sample_alike(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok(
        "train", text_file, *TINY, *ON_TORCH, "--max-steps", "100", "--learning-rate", "0.01", "--run", "r"
    )
    on_numpy, on_torch = (toolkit.json("evaluate", "r", "--backend", name) for name in ("numpy", "torch"))
    assert on_torch["loss"] == pytest.approx(on_numpy["loss"], abs=2e-5)
    assert on_torch["symbols"] == on_numpy["symbols"]
    texts = [
        toolkit.ok("sample", "r", "--backend", name, "--seed", "3", "--length", "500").out
        for name in ("numpy", "torch")
    ]
    assert texts[0] == texts[1]


def test_a_resumed_run_stays_on_the_backend_of_its_last_session(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, *ON_TORCH, "--max-steps", "5", "--run", "r")
    for chosen, expected in (((), "torch"), (("--backend", "numpy"), "numpy"), ((), "numpy")):
        steps = str(5 + len(lines_of(Path("r/sessions.jsonl"))))
        toolkit.ok("train", "--resume", "r", "--max-steps", steps, *chosen)
        assert lines_of(Path("r/sessions.jsonl"))[-1]["backend"] == expected


def test_a_run_of_bfloat16_is_sampled_without_it(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok(
        "train", text_file, *TINY, *ON_TORCH, "--precision", "bfloat16", "--max-steps", "5", "--run", "r"
    )
    toolkit.ok("sample", "r", "--length", "20")
    message = toolkit.error("train", "--resume", "r", "--max-steps", "9", "--backend", "numpy")
    assert "backend 'numpy' doesn't support precision 'bfloat16'; it supports float32, float64" in message
    assert message.split("; ")[-1].startswith(
        "use --backend "
    )  # one that has it: which depends on what is installed


def test_it_is_listed_as_usable(toolkit: Toolkit) -> None:
    row = next(row for row in toolkit.json("backends")["backends"] if row["name"] == "torch")
    assert (row["status"], row["distribution"], row["reason"]) == ("usable", "charkit-torch", "")
    assert row["precisions"] == ["bfloat16", "float32", "float64"]
    assert "cpu" in row["devices"]
