"""Workers that fail, die, stall or are no charkit, and comparisons that are interrupted."""

from __future__ import annotations

import json
import signal
import time
import venv
from pathlib import Path

import pytest

from charkit_cli import compare
from charkit_comparison import ComparisonReport, write_report
from cli_support import Toolkit
from comparison_support import QUICK, interpreter, report_of, variant
from plugin_support import InstalledSite


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dies", "its process was killed, which usually means that memory ran out"),
        (
            "stalls",
            "it took longer than 15 s for one task of its turn; raise `turn_limit` to allow more time",
        ),
        ("exhausts", "out of memory: no room for 8 GiB"),
    ],
)
def test_one_that_fails_is_a_row_and_the_rest_goes_on(
    faulty: InstalledSite, text_file: Path, name: str, reason: str
) -> None:
    options = ("--backends", f"{name},numpy", "--turn-limit=15s", "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 1)
    assert variant(report, name)["status"] == "failed"
    assert variant(report, name)["reason"] == reason
    assert f"{name} did not finish: {reason}." in report["verdict"]
    assert variant(report, "numpy")["status"] == "done"
    assert len(variant(report, "numpy")["losses"]) == 12


def test_a_loss_that_is_not_finite_where_others_go_on_is_a_difference(
    faulty: InstalledSite, text_file: Path
) -> None:
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=explodes,numpy", "--json"), 1)
    assert variant(report, "explodes")["reason"] == "its loss is not finite at step 5"
    assert variant(report, "explodes")["not_finite_at"] == 5
    (finding,) = report["findings"]
    assert (finding["variant"], finding["differs_from_step"], finding["by_nats"]) == (
        "explodes",
        5,
        "Infinity",
    )
    assert (finding["step"], finding["array"]) == (5, "the loss")
    assert (
        "explodes is wrong: its step 5 differs from the float64 reference, first in the loss"
        in report["verdict"]
    )
    assert "its final loss is not finite, but numpy's is." in report["verdict"]
    assert "learning_rate" not in report["verdict"]
    assert len(variant(report, "numpy")["losses"]) == 12


def test_a_loss_that_is_never_finite_where_others_are_is_wrong(
    faulty: InstalledSite, text_file: Path
) -> None:
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=undefined,numpy", "--json"), 1)
    assert variant(report, "undefined")["losses"] == []
    (finding,) = report["findings"]
    assert (finding["variant"], finding["step"], finding["array"]) == ("undefined", 1, "the loss")
    assert "undefined is wrong: its step 1 differs from the float64 reference" in report["verdict"]
    assert "undefined did not finish: its loss is not finite at step 1." in report["verdict"]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_termination_write_what_is_done(
    faulty: InstalledSite, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    stalled = tmp_path / "stalled"
    monkeypatch.setenv("CHARKIT_TEST_STALLED", str(stalled))
    options = ("--backends=numpy,stalls", "--out", "page", "--json")
    child = faulty.start("compare", text_file, *QUICK, *options)
    until = time.monotonic() + 300
    while not stalled.exists() and time.monotonic() < until:  # numpy's first round is over by then
        time.sleep(0.05)
    child.send_signal(asked)
    out, wrong = child.communicate(timeout=300)
    assert child.returncode == 128 + asked, wrong
    report = json.loads(out)
    assert report["partial"] is True
    assert report["verdict"].startswith("Interrupted: these are the results so far.")
    assert variant(report, "numpy")["status"] == "partial"
    assert 0 < len(variant(report, "numpy")["losses"]) < 12
    assert Path("page/report.html").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_report_is_written_does_not_lose_it(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write(report: ComparisonReport, folder: Path) -> None:
        signal.raise_signal(number)
        write_report(report, folder)

    monkeypatch.setattr(compare, "write_report", write)
    outcome = toolkit("compare", text_file, *QUICK, "--backends=numpy", "--out=page", "--json")
    assert outcome.status == 128 + number
    assert json.loads(outcome.out)["partial"] is False
    assert Path("page/report.html").is_file()


def test_another_version_of_charkit_takes_no_part(toolkit: Toolkit, text_file: Path, tmp_path: Path) -> None:
    """An interpreter whose charkit answers with another version, made of a script."""
    answer = """echo '{"charkit": "0.0.1"}'"""
    old = interpreter(tmp_path, "#!/bin/sh", "read line", answer, "read line")
    options = ("--backends=numpy", "--python", f"numpy-old={old}", "--json")
    report = report_of(toolkit("compare", text_file, *QUICK, *options), 1)
    old_numpy = variant(report, "numpy-old")
    assert old_numpy["status"] == "failed"
    assert old_numpy["reason"].startswith("its environment has charkit 0.0.1, but this one has ")
    assert old_numpy["reason"].endswith("; install the same version in both")


def test_an_environment_without_charkit_takes_no_part(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)
    python = bare / "bin" / "python"
    options = ("--backends=numpy", "--python", f"torch-bare={python}", "--json")
    report = report_of(toolkit("compare", text_file, *QUICK, *options), 1)
    reason = variant(report, "torch-bare")["reason"]
    assert reason == "its environment lacks this version of charkit; install it there, along with the backend"
    assert variant(report, "numpy")["status"] == "done"


def test_modules_of_the_current_folder_are_never_run(toolkit: Toolkit, text_file: Path) -> None:
    """A folder of texts can hold anything; workers import installed modules only."""
    for name in ("numpy", "charkit", "json"):
        Path(f"{name}.py").write_text("raise SystemExit('this was run')\n")
    report = toolkit.json("compare", text_file, *QUICK, "--backends=numpy")
    assert variant(report, "numpy")["status"] == "done"
    assert toolkit.json("backends")["backends"]


def test_an_interpreter_that_can_not_be_run_is_a_row(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    python = interpreter(tmp_path, "#!/no/such/program")
    options = ("--backends=numpy", "--python", f"numpy-x={python}", "--json")
    report = report_of(toolkit("compare", text_file, *QUICK, *options), 1)
    assert variant(report, "numpy-x")["reason"] == f"can't run '{python}': No such file or directory"
    assert variant(report, "numpy")["status"] == "done"


def test_one_that_prints_where_it_should_answer_is_a_row(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    python = interpreter(tmp_path, "#!/bin/sh", "read line", "echo loading modules", "read line")
    options = ("--backends=numpy", "--python", f"numpy-x={python}", "--json")
    report = report_of(toolkit("compare", text_file, *QUICK, *options), 1)
    assert variant(report, "numpy-x")["reason"] == "it sent an unexpected response: loading modules"
    assert variant(report, "numpy")["status"] == "done"


def test_what_a_worker_has_started_ends_with_it(toolkit: Toolkit, text_file: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    python = interpreter(tmp_path, "#!/bin/sh", "sleep 1000 &", f"echo $! > {left}", "sleep 1000")
    options = ("--backends=numpy", "--python", f"numpy-x={python}", "--turn-limit=4s")
    outcome = toolkit("compare", text_file, *QUICK, *options, "--json")
    assert outcome.status in (0, 1), outcome.err  # on a busy machine NumPy may take as long
    report = report_of(outcome, outcome.status)
    assert variant(report, "numpy-x")["reason"].startswith("it took longer than 4 s")
    deadline = time.monotonic() + 60
    while Path(f"/proc/{left.read_text().strip()}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{left.read_text().strip()}/cmdline").read_bytes():
            break  # it has ended, and init has not collected it yet
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_when_everyone_fails_the_answer_is_no(faulty: InstalledSite, text_file: Path) -> None:
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=dies", "--json"), 1)
    assert report["verdict"].startswith("There is nothing to judge")
