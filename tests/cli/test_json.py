"""``--json``: one object on standard output, with exactly the promised keys, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

from cli_support import TINY, Toolkit


def test_train(toolkit: Toolkit, text_file: Path) -> None:
    answer = toolkit.json("train", text_file, *TINY, "--max-steps", "12")
    assert list(answer) == [
        "run",
        "step",
        "epoch",
        "loss",
        "validation_loss",
        "best_validation_loss",
        "characters_per_second",
        "stopped_because",
    ]
    assert answer["run"] == "runs/small-1"
    assert (answer["step"], answer["epoch"], answer["stopped_because"]) == (12, 1, "max_steps")
    assert 0 < answer["loss"] < math.log(100)
    assert answer["best_validation_loss"] == answer["validation_loss"] > 0
    assert answer["characters_per_second"] > 0


def test_train_without_a_validation_split(toolkit: Toolkit, text_file: Path) -> None:
    answer = toolkit.json("train", text_file, *TINY, "--max-steps", "12", "--validation-share", "0")
    assert answer["validation_loss"] is None
    assert answer["best_validation_loss"] is None


def test_evaluate(toolkit: Toolkit, run: Path) -> None:
    answer = toolkit.json("evaluate", run)
    assert list(answer) == ["loss", "bits_per_character", "bits_per_byte", "perplexity", "symbols", "streams"]
    assert math.isclose(answer["bits_per_character"], answer["loss"] / math.log(2), rel_tol=1e-12)
    assert math.isclose(answer["perplexity"], math.exp(answer["loss"]), rel_tol=1e-12)
    assert answer["bits_per_byte"] < answer["bits_per_character"]  # the text is not ASCII alone
    assert answer["streams"] == 1
    assert answer["symbols"] > 100


def test_a_number_that_is_not_finite_is_null(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "40", "--learning-rate", "100", "--grad-clip", "0",
               "--run", "wild", "--precision", "float64")  # fmt: skip
    answer = toolkit.json("evaluate", "wild", "--checkpoint", "latest")
    assert answer["loss"] > 700
    assert answer["perplexity"] is None


def test_sample(toolkit: Toolkit, run: Path) -> None:
    answer = toolkit.json("sample", run, "--count", "3", "--length", "7", "--prime", "The €")
    assert list(answer) == ["samples", "seed"]
    assert [text[:5] for text in answer["samples"]] == ["The €"] * 3
    assert [len(text) for text in answer["samples"]] == [12] * 3
    again = toolkit.json(
        "sample", run, "--count", "3", "--length", "7", "--prime", "The €", "--seed", str(answer["seed"])
    )
    assert again == answer


def test_backends(toolkit: Toolkit) -> None:
    answer = toolkit.json("backends")
    assert list(answer) == ["backends"]
    row = next(row for row in answer["backends"] if row["name"] == "numpy")
    assert list(row) == [
        "name",
        "status",
        "distribution",
        "version",
        "devices",
        "precisions",
        "capabilities",
        "reason",
        "summary",
        "verified",
    ]
    assert row["status"] == "usable"
    assert row["devices"] == ["cpu"]
    assert row["precisions"] == ["float32", "float64"]


def test_verify(toolkit: Toolkit) -> None:
    answer = toolkit.json("verify", "--stage", "import")
    assert list(answer) == ["backend", "passed", "checks", "verified_with"]
    assert (answer["backend"], answer["passed"]) == ("numpy", True)
    keys = ["stage", "name", "status", "passed", "expected", "got"]
    assert all(list(check) == keys for check in answer["checks"])
    assert answer["verified_with"] == ""  # some checks are not all
    assert {check["stage"] for check in answer["checks"]} == {"import"}


def test_an_error_prints_no_json(toolkit: Toolkit) -> None:
    assert toolkit.error("train", "absent.txt", "--json").startswith("no text at")
