"""``toolkit compare`` as a user calls it: agreement, and planted faults located and named."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from cli_support import Toolkit, lines_of
from comparison_support import QUICK, SHAPE, report_of, variant
from plugin_support import InstalledSite


def test_two_that_agree(toolkit: Toolkit, text_file: Path) -> None:
    """One environment compared with itself by way of --python: everything is equal."""
    again = f"numpy-again={sys.executable}"
    options = ("--backends=numpy", "--python", again, "--dropout=0.2", "--out", "page")
    report = toolkit.json("compare", text_file, *QUICK, *options)
    assert report["agree"] is True
    (pair,) = report["pairs"]
    assert (pair["largest_loss_difference"], pair["weights_difference"], pair["steps"]) == (0, 0, 12)
    assert pair["equal_characters"] == 500
    assert report["verdict"] == (
        "numpy and numpy-again agree: 12 of 12 examined steps match the float64 reference; "
        "the curves are identical down to the last bit."
    )
    (control,) = report["controls"]
    assert (control["variant"], control["rounding_unit"], control["trained"]) == ("numpy", 2**-24, 1)
    assert len(control["losses"]) == len(control["band"]) == 12
    assert 0 < control["largest_loss_difference"] < 1e-5
    for examination in report["examinations"]:
        assert len(examination["steps"]) == examination["matching"] == 6
        assert {1, 12} < set(examination["steps"])
        assert 0 < examination["largest_share_of_bound"] < 1
    for one in report["variants"]:
        assert (one["status"], one["threads"], len(one["losses"])) == ("done", 1, 12)
        assert [given["steps"] for given in one["rounds"]] == [5, 6]  # the first step is timed by itself
        assert [given["step"] for given in one["validations"]] == [6, 12]
        assert one["losses"][-1] < one["losses"][0]
        assert one["peak_memory_bytes"] > 10 * 2**20
    names = {path.name for path in Path("page").iterdir()}
    assert names == {"report.html", "report.md", "report.json", "curves.csv"}
    assert json.loads(Path("page", "report.json").read_text("utf-8")) == report
    assert report["config"]["data"]["text"] == ["small.txt"]  # not where it lies on this machine


def test_the_table_on_the_terminal(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok("compare", text_file, *QUICK, "--backends=numpy")
    printed = " ".join(outcome.out.split())
    assert (
        "numpy is correct: 6 of 6 examined steps match the float64 reference; there was no second" in printed
    )
    assert "comparisons/small-1/report.html" in outcome.out
    toolkit.ok("compare", text_file, *QUICK, "--backends=numpy")
    assert Path("comparisons/small-2/report.html").is_file()


@pytest.mark.parametrize(
    ("name", "beside", "more", "step", "array", "mistake"),
    [
        ("lapses", "numpy", ("--max-steps=40",), 30, "the loss", "a dropped state"),
        (
            "clips_each",
            "",
            ("--grad-clip=0.05",),
            1,
            "the first moment of",
            "clipping by the norm of each array",
        ),
        ("unclipped", "", ("--grad-clip=0.05",), 1, "the first moment of", "missing gradient clipping"),
    ],
)
def test_a_planted_fault_is_placed_and_named(
    faulty: InstalledSite,
    text_file: Path,
    name: str,
    beside: str,
    more: tuple[str, ...],
    step: int,
    array: str,
    mistake: str,
) -> None:
    """The oracle judges it alone; beside another, its curve shows which step to judge."""
    backends = f"{beside},{name}" if beside else name
    options = ("--backends", backends, "--learning-rate=0.01", *more, "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 1)
    assert report["agree"] is False
    (finding,) = report["findings"]
    assert (finding["variant"], finding["reference"], finding["step"]) == (name, beside, step)
    assert finding["array"].startswith(array)
    assert mistake in finding["look_at"]
    assert (
        f"{name} is wrong: its step {step} differs from the float64 reference, first in {array}"
        in report["verdict"]
    )


def test_a_wrong_step_that_was_found_later_counts_as_examined(faulty: InstalledSite, text_file: Path) -> None:
    options = ("--backends=lapses,numpy", "--examine=0", "--max-steps=40", "--json")
    report = report_of(faulty("compare", text_file, *SHAPE, *options), 1)
    (finding,) = report["findings"]
    (examined,) = [one for one in report["examinations"] if one["variant"] == "lapses"]
    assert finding["step"] in examined["steps"]
    assert examined["matching"] < len(examined["steps"])


def test_of_two_only_the_wrong_one_is_named(faulty: InstalledSite, text_file: Path) -> None:
    """Both are judged by the oracle, so no third is needed to know which is wrong."""
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=misgated,numpy", "--json"), 1)
    assert {finding["variant"]: finding["step"] for finding in report["findings"]} == {"misgated": 1}
    assert report["verdict"].startswith(
        "numpy is correct: 6 of 6 examined steps match the float64 reference."
    )


def test_of_three_two_agree_and_the_wrong_one_is_placed(faulty: InstalledSite, text_file: Path) -> None:
    again = f"numpy-again={sys.executable}"
    options = ("--backends=numpy,misgated", "--python", again, "--learning-rate=0.01", "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 1)
    assert report["agree"] is False
    (finding,) = report["findings"]
    assert (finding["variant"], finding["reference"], finding["step"]) == ("misgated", "numpy", 1)
    assert finding["array"].startswith("the logits")
    assert "the wrong gate order: weights read as i, g, f, o" in finding["look_at"]
    assert re.search(r"numpy and numpy-again agree: (\d+) of \1 examined steps match", report["verdict"])
    wrong = "misgated is wrong: its step 1 differs from the float64 reference, first in the logits"
    assert wrong in report["verdict"]


def test_a_bound_is_a_further_demand(faulty: InstalledSite, text_file: Path) -> None:
    options = ("--backends=numpy,nudged", "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 0)
    assert report["agree"] is True
    (pair,) = report["pairs"]
    assert pair["largest_loss_difference"] > 0
    report = report_of(faulty("compare", text_file, *QUICK, *options, "--bound=1e-12"), 1)
    assert report["findings"] == []
    assert report["pairs"][0]["agrees"] is False
    assert "more than the bound of 1.0e-12." in report["verdict"]


def test_what_single_steps_do_not_show_the_control_does(faulty: InstalledSite, text_file: Path) -> None:
    """Every step is within the bounds, and yet the curves part by more than five controls explain."""
    options = ("--backends=numpy,overstates", "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 1)
    (finding,) = report["findings"]
    assert (finding["variant"], finding["reference"], finding["step"]) == ("overstates", "numpy", None)
    assert finding["differs_from_step"] == 1
    assert report["controls"][0]["trained"] == 5
    assert all(one["matching"] == len(one["steps"]) for one in report["examinations"])
    assert "more than rounding explains" in report["verdict"]


def test_a_comparison_from_a_run_goes_on_from_its_position(toolkit: Toolkit, text_file: Path) -> None:
    shape = (
        "--lstm-size=8",
        "--batch-size=4",
        "--num-steps=8",
        "--threads=1",
        "--dropout=0.2",
        "--log-every=1",
    )
    common = (*shape, "--epochs=1000", "--sample-length=0")
    toolkit.ok("train", text_file, "--recipe=classic", *common, "--max-steps=9", "--run", "r")
    report = toolkit.json("compare", "r", "--backends=numpy", "--max-steps=6", "--rounds=1", "--threads=1")
    assert (report["start"], report["first_step"]) == ("r at step 9", 10)
    toolkit.ok("train", "--resume", "r", "--max-steps=15", "--threads=1")
    trained = [record["loss"] for record in lines_of(Path("r/metrics.jsonl"))][9:]
    assert variant(report, "numpy")["losses"] == trained


def test_steps_after_training_has_diverged_are_not_judged(toolkit: Toolkit, text_file: Path) -> None:
    options = ("--max-steps=6", "--rounds=1", "--learning-rate=10", "--backends=numpy")
    outcome = toolkit.ok("compare", text_file, *SHAPE, *options)
    said = " ".join(outcome.out.split())
    assert "numpy is correct: 1 of 1 examined step matches" in said
    assert "At 5 of 6 steps, the loss is more than 1 nat above that of uniform guessing; " in said
    assert said.count("--learning-rate") == 1
