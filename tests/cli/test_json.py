"""``--json``: one object on standard output, with exactly the promised keys, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import charkit
from charkit_cli.printable import json_escaped
from cli_support import TINY, Install, Toolkit, start


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
    scores = ["loss", "bits_per_character", "bits_per_byte", "perplexity", "symbols", "streams"]
    assert list(answer) == [*scores, "run", "step", "text"]
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
    assert list(answer) == ["samples", "seed", "run", "step"]
    assert (answer["run"], answer["step"]) == (str(run), charkit.load_run(run).step)
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
    keys = ["stage", "name", "status", "passed", "expected", "got", "look_at"]
    assert all(list(check) == keys for check in answer["checks"])
    assert answer["verified_with"] == ""  # some checks are not all
    assert {check["stage"] for check in answer["checks"]} == {"import"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_it_is_whole_in_an_encoding_that_lacks_characters(run: Path, encoding: str) -> None:
    command = ("sample", str(run), "--prime", "naïvely €", "--length", "3", "--seed", "1", "--json")
    child = start(*command, environment={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}, encoding=encoding)
    printed, wrong = child.communicate(timeout=60)
    assert child.returncode == 0, wrong
    assert json.loads(printed)["samples"][0].startswith("naïvely €")
    assert ("\\u20ac" in printed) == (encoding != "utf-8")


def test_what_a_terminal_would_obey_is_escaped() -> None:
    content = {"name": "\x1b\x7f\x9b\u202e\u2028\U0001f600\udc80é"}
    text = json_escaped(json.dumps(content, ensure_ascii=False), "utf-8")
    assert json.loads(text) == content
    assert text.count("\\u") == 6
    assert json.loads(json_escaped(text, "ascii")) == content
    assert json_escaped(text, "ascii").isascii()


PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl
@hookimpl
def charkit_backend():
    return BackendInfo(name="noisy", factory="MODULE.backend:Noisy", summary="")
"""
NOISY = """
import os
from charkit_numpy.backend import NumpyBackend
class Noisy(NumpyBackend):
    name = "noisy"
    def numpy(self, tensor):
        print("computing")
        os.write(1, b"in C\\n")
        return super().numpy(tensor)
"""


@pytest.mark.parametrize(
    "arguments",
    [("train", "TEXT", *TINY, "--max-steps", "2"), ("sample", "RUN", "--length", "5"), ("evaluate", "RUN")],
)
def test_it_is_whole_beside_a_backend_that_prints(
    install: Install, run: Path, text_file: Path, arguments: tuple[str, ...]
) -> None:
    install("noisy", PLUGIN, NOISY)
    words = [{"TEXT": str(text_file), "RUN": str(run)}.get(word, word) for word in arguments]
    child = start(*words, "--backend", "noisy", "--json")
    printed, log = child.communicate(timeout=60)
    assert child.returncode == 0, log
    assert printed.count("\n") == 1
    assert isinstance(json.loads(printed), dict)
    assert "computing" in log
    assert "in C" in log


def test_an_error_prints_no_json(toolkit: Toolkit) -> None:
    assert toolkit.error("train", "absent.txt", "--json").startswith("there is no text at")
