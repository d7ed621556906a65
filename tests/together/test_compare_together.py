"""``toolkit compare`` of all four, and of what users of each framework would have written instead."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from support import SMALL_TEXT

pytestmark = pytest.mark.together

BACKENDS = ("jax", "numpy", "tensorflow", "torch")
#: What each of the frameworks' own ways is called, and whether its state goes from batch to batch.
OWN = {
    "plain torch.nn.LSTM": True,
    "Keras on TensorFlow": True,
    "Keras on JAX": False,
    "Keras on PyTorch": False,
    "Flax and Optax": True,
}
#: The command line with a longer limit for a backend's import, which is no promise to a machine that is busy elsewhere.
PATIENT = (
    "from functools import partial; from charkit.plugins import listing; from charkit_cli.__main__ import main; "
    "listing.backends = partial(listing.backends, limit_seconds=120); main()"
)
SHAPE = ("--lstm-size=16", "--batch-size=4", "--num-steps=16", "--threads=1")


def compared(text: str, *options: str) -> dict[str, Any]:
    """The report of a comparison that found agreement."""
    path = Path("some.txt")
    path.write_text(text, "utf-8")
    command = [sys.executable, "-c", PATIENT, "compare", str(path), *SHAPE, *options, "--json"]
    child = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, check=False)
    assert child.returncode == 0, child.stderr
    return dict(json.loads(child.stdout))


def test_every_usable_backend_takes_part_and_all_agree() -> None:
    options = (
        "--dropout=0.3",
        "--learning-rate=0.005",
        "--max-steps=40",
        "--rounds=2",
        "--precision=float32",
        "--precision=float64",
    )
    report = compared(SMALL_TEXT * 20, *options)
    labels = [f"{name} {precision}" for precision in ("float32", "float64") for name in BACKENDS]
    assert [one["label"] for one in report["variants"]] == labels
    assert {one["status"] for one in report["variants"]} == {"done"}
    pairs = {(pair["first"], pair["second"]): pair for pair in report["pairs"]}
    groups = (labels[:4], labels[4:])
    assert set(pairs) == {pair for group in groups for pair in combinations(group, 2)}
    for pair in pairs.values():
        assert pair["agrees"] is True
        assert pair["equal_characters"] == 500
    for precision, control in zip(("float32", "float64"), report["controls"], strict=True):
        assert control["precision"] == precision
    for one in report["examinations"]:
        assert len(one["steps"]) == one["matching"] >= 6
        assert one["largest_share_of_bound"] < 1
    assert report["verdict"].count("examined steps match the float64 reference") == 2
    assert Path("comparisons/some-1/report.html").is_file()


def test_own_layers_start_from_the_same_weights_on_the_same_batches() -> None:
    options = ("--backends=numpy", "--own-layers", "--learning-rate=0.001", "--max-steps=8", "--rounds=1")
    report = compared(SMALL_TEXT * 20, *options)
    ours, *own = report["variants"]
    assert [one["label"] for one in own] == list(OWN)
    assert {one["status"] for one in own} == {"done"}, [one["reason"] for one in own]
    for one in own:
        assert one["kind"] == "own layers"
        assert one["decides"] is False
        assert one["rounds"][0]["characters_per_second"] > 0
        assert one["losses"][0] == pytest.approx(ours["losses"][0], abs=2e-6)
        if OWN[one["label"]]:  # the optimizers differ in small things only
            assert one["losses"] == pytest.approx(ours["losses"], abs=0.02)
        else:
            assert "every batch" in one["notices"][0]
    flax = own[-1]
    assert flax["losses"] == pytest.approx(ours["losses"], abs=1e-4)
    assert report["pairs"] == []
