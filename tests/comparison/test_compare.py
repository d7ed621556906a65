"""The command as a user calls it: agreement, planted faults placed and named, and children that fail."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import time
import venv
from pathlib import Path
from typing import Any

import pytest

from charkit_cli import compare
from charkit_comparison.page import writing
from cli_support import Outcome, Toolkit, lines_of
from plugin_support import InstalledSite

SHAPE = ("--lstm-size=8", "--batch-size=4", "--num-steps=8", "--threads=1", "--validation-share=0.1")
QUICK = (*SHAPE, "--max-steps=12", "--rounds=2")


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


def report_of(outcome: Outcome, status: int) -> dict[str, Any]:
    """What ``--json`` printed."""
    assert outcome.status == status, outcome.err
    return dict(json.loads(outcome.out))


def variant(report: dict[str, Any], label: str) -> dict[str, Any]:
    """One variant's outcome."""
    return next(one for one in report["variants"] if one["label"] == label)


def interpreter(folder: Path, *lines: str) -> Path:
    """A program that stands where an environment's Python should: a script of these lines."""
    path = folder / "python"
    path.write_text("\n".join((*lines, "")))
    path.chmod(0o755)
    return path


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
        "the curves are equal to the last bit."
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
    said = " ".join(outcome.out.split())
    assert "numpy is right: 6 of 6 examined steps match the float64 reference; there was no second" in said
    assert "comparisons/small-1/report.html" in outcome.out
    toolkit.ok("compare", text_file, *QUICK, "--backends=numpy")
    assert Path("comparisons/small-2/report.html").is_file()


@pytest.mark.parametrize(
    ("name", "more", "step", "array", "mistake"),
    [
        ("misgated", (), 1, "the logits", "a swapped gate order: weights read as i, g, f, o"),
        ("lapses", ("--max-steps=40",), 30, "the loss", "a dropped state"),
        ("clips_each", ("--grad-clip=0.05", "--max-steps=20"), 1, "the first moment of", "a clip per array"),
        ("unclipped", ("--grad-clip=0.05", "--max-steps=20"), 1, "the first moment of", "a missing clip"),
    ],
)
def test_a_planted_fault_is_placed_and_named(
    faulty: InstalledSite,
    text_file: Path,
    name: str,
    more: tuple[str, ...],
    step: int,
    array: str,
    mistake: str,
) -> None:
    again = f"numpy-again={sys.executable}"  # so that two stand against the faulty one
    options = ("--backends", f"numpy,{name}", "--python", again, "--learning-rate=0.01", *more, "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 1)
    assert report["agree"] is False
    (finding,) = report["findings"]
    assert (finding["variant"], finding["reference"], finding["step"]) == (name, "numpy", step)
    assert finding["array"].startswith(array)
    assert mistake in finding["look_at"]
    assert re.search(r"numpy and numpy-again agree: (\d+) of \1 examined steps match", report["verdict"])
    assert (
        f"{name} is wrong: its step {step} differs from the float64 reference, first in {array}"
        in report["verdict"]
    )


def test_of_two_only_the_wrong_one_is_named(faulty: InstalledSite, text_file: Path) -> None:
    """Both are held against the oracle, so there is no need of a third to tell who is wrong."""
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=misgated,numpy", "--json"), 1)
    assert {finding["variant"]: finding["step"] for finding in report["findings"]} == {"misgated": 1}
    assert report["verdict"].startswith("numpy is right: 6 of 6 examined steps match the float64 reference.")


def test_one_backend_alone_is_judged(faulty: InstalledSite, text_file: Path) -> None:
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=misgated", "--json"), 1)
    (finding,) = report["findings"]
    assert (finding["variant"], finding["reference"], finding["step"]) == ("misgated", "", 1)


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
    assert "further apart than rounding explains" in report["verdict"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dies", "its process was killed, as a system does when memory runs out"),
        ("stalls", "took longer than 5 s for one task of a turn; --turn-limit gives it more"),
        ("exhausts", "out of memory: no room for 8 GiB"),
    ],
)
def test_one_that_fails_is_a_row_and_the_rest_goes_on(
    faulty: InstalledSite, text_file: Path, name: str, reason: str
) -> None:
    options = ("--backends", f"{name},numpy", "--turn-limit=5s", "--json")
    report = report_of(faulty("compare", text_file, *QUICK, *options), 0)
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
    assert "its loss ends in a number that is not finite, numpy's does not" in report["verdict"]
    assert "learning-rate" not in report["verdict"]
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
    toolkit.ok("train", text_file, *common, "--max-steps=9", "--run", "r")
    report = toolkit.json("compare", "r", "--backends=numpy", "--max-steps=6", "--rounds=1", "--threads=1")
    assert (report["start"], report["first_step"]) == ("r at step 9", 10)
    toolkit.ok("train", "--resume", "r", "--max-steps=15", "--threads=1")
    trained = [record["loss"] for record in lines_of(Path("r/metrics.jsonl"))][9:]
    assert variant(report, "numpy")["losses"] == trained


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_termination_write_what_is_done(
    faulty: InstalledSite, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    stalled = tmp_path / "stalled"
    monkeypatch.setenv("CHARKIT_TEST_STALLED", str(stalled))
    options = ("--backends=numpy,stalls", "--out", "page", "--json")
    child = faulty.start("compare", text_file, *QUICK, *options)
    until = time.monotonic() + 60
    while not stalled.exists() and time.monotonic() < until:  # numpy's first round is over by then
        time.sleep(0.05)
    child.send_signal(asked)
    out, wrong = child.communicate(timeout=30)
    assert child.returncode == 128 + asked, wrong
    report = json.loads(out)
    assert report["partial"] is True
    assert report["verdict"].startswith("Interrupted: this is what was done until then.")
    assert variant(report, "numpy")["status"] == "partial"
    assert 0 < len(variant(report, "numpy")["losses"]) < 12
    assert Path("page/report.html").is_file()


def test_who_is_missing_is_told(toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit.plugins import find, listing

    only = [row for row in listing.backends() if row.name == "numpy"]
    monkeypatch.setattr(listing, "backends", lambda: only)
    monkeypatch.setattr(compare, "installed", lambda: (find("numpy"),))
    outcome = toolkit.ok("compare", text_file, *QUICK)
    assert (
        "note: not installed: torch, tensorflow, jax; to add them, in charkit's source folder: "
        "pip install . ./backends/torch ./backends/tensorflow ./backends/jax" in outcome.err.splitlines()
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--backends=numpi",), "unknown backend 'numpi'"),
        (("--python", "torch=/bin/python"), "--python 'torch=/bin/python' is not BACKEND-NAME=PATH"),
        (("--python", "torch-[/red]=/bin/python"), "names are made of letters, digits, _, . and -"),
        (("--python", "torch-old=/no/such/python"), "there is no program '/no/such/python'"),
        (("--bound=0",), "--bound must be above 0; given 0.0"),
        (("--examine=-1",), "--examine must be at least 0; given -1"),
        (("--precision=float16",), "unknown precision 'float16' (did you mean 'bfloat16'?)"),
        (("--threads=0",), "--threads must be at least 1; given 0"),
        (("--turn-limit=5",), "--turn-limit '5': a duration is a number above 0 and a unit"),
        (("--max-steps=0",), "--max-steps must be at least 1; given 0"),
        (("--rounds=no",), "invalid value for '--rounds'"),
        (("--batch-size=100000",), "batch_size"),
    ],
)
def test_wrong_use_is_one_line(
    toolkit: Toolkit, text_file: Path, options: tuple[str, ...], told: str
) -> None:
    assert told in toolkit.error("compare", text_file, *options)


def test_an_out_that_exists_is_left_alone(toolkit: Toolkit, text_file: Path) -> None:
    Path("taken").mkdir()
    message = toolkit.error("compare", text_file, "--backends=numpy", "--out", "taken")
    assert message == "'taken' exists; choose another --out"


def test_a_run_is_compared_as_it_is(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *SHAPE, "--max-steps=2", "--sample-length=0", "--run", "r")
    message = toolkit.error("compare", "r", "--lstm-size=16")
    assert "takes the run as it is; given model.lstm_size; leave that out, or compare on its text" in message
    message = toolkit.error("compare", "r", text_file)
    assert "compare takes one run or texts" in message


def test_another_version_of_charkit_takes_no_part(toolkit: Toolkit, text_file: Path, tmp_path: Path) -> None:
    """An interpreter whose charkit answers with another version, made of a script."""
    answer = """echo '{"charkit": "0.0.1"}'"""
    old = interpreter(tmp_path, "#!/bin/sh", "read line", answer, "read line")
    report = toolkit.json("compare", text_file, *QUICK, "--backends=numpy", "--python", f"numpy-old={old}")
    told = variant(report, "numpy-old")
    assert told["status"] == "failed"
    assert told["reason"].startswith("its charkit is 0.0.1, this one is ")
    assert told["reason"].endswith("; they must match")


def test_an_environment_without_charkit_takes_no_part(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)
    python = bare / "bin" / "python"
    report = toolkit.json(
        "compare", text_file, *QUICK, "--backends=numpy", "--python", f"torch-bare={python}"
    )
    told = variant(report, "torch-bare")
    assert told["reason"] == "its environment lacks this charkit; install it there, with the backend"
    assert variant(report, "numpy")["status"] == "done"


def test_what_lies_about_is_never_run(toolkit: Toolkit, text_file: Path) -> None:
    """A folder of texts can hold anything; children import from where things are installed alone."""
    for name in ("numpy", "charkit", "json"):
        Path(f"{name}.py").write_text("raise SystemExit('this was run')\n")
    report = toolkit.json("compare", text_file, *QUICK, "--backends=numpy")
    assert variant(report, "numpy")["status"] == "done"
    assert toolkit.json("backends")["backends"]


def test_a_full_disk_takes_the_page_and_not_the_answer(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(writing, "write_file", lambda *_: (_ for _ in ()).throw(full))
    outcome = toolkit("compare", text_file, *QUICK, "--backends=numpy", "--out", "page")
    assert outcome.status == 2
    assert "numpy is right" in outcome.out
    assert outcome.err.splitlines()[-1] == "error: can't write 'page': the disk is full; make room"
    assert list(Path.cwd().iterdir()) == []


def test_an_out_that_can_not_be_written_is_told_before_the_work(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "compare", lambda *_, **__: pytest.fail("it worked for nothing"))
    Path("file").write_text("")
    message = toolkit.error("compare", text_file, "--backends=numpy", "--out", "file/page")
    assert message == "can't write 'file/page': a file is in the way; choose another folder"


def test_an_interpreter_that_can_not_be_run_is_a_row(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    python = interpreter(tmp_path, "#!/no/such/program")
    report = toolkit.json("compare", text_file, *QUICK, "--backends=numpy", "--python", f"numpy-x={python}")
    assert variant(report, "numpy-x")["reason"] == f"can't run '{python}': No such file or directory"
    assert variant(report, "numpy")["status"] == "done"


def test_one_that_prints_where_it_should_answer_is_a_row(
    toolkit: Toolkit, text_file: Path, tmp_path: Path
) -> None:
    python = interpreter(tmp_path, "#!/bin/sh", "read line", "echo loading modules", "read line")
    report = toolkit.json("compare", text_file, *QUICK, "--backends=numpy", "--python", f"numpy-x={python}")
    assert variant(report, "numpy-x")["reason"] == "answered with something else: loading modules"
    assert variant(report, "numpy")["status"] == "done"


def test_what_a_child_has_started_ends_with_it(toolkit: Toolkit, text_file: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    python = interpreter(tmp_path, "#!/bin/sh", "sleep 1000 &", f"echo $! > {left}", "sleep 1000")
    options = ("--backends=numpy", "--python", f"numpy-x={python}", "--turn-limit=4s")
    report = toolkit.json("compare", text_file, *QUICK, *options)
    assert variant(report, "numpy-x")["reason"].startswith("took longer than 4 s")
    deadline = time.monotonic() + 10
    while Path(f"/proc/{left.read_text().strip()}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{left.read_text().strip()}/cmdline").read_bytes():
            break  # it is dead, and waits for init to take note
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_an_out_of_any_bytes(faulty: InstalledSite, text_file: Path) -> None:
    """A path need not be Unicode; what can't be shown is replaced, and nothing is lost."""
    odd = os.fsdecode(b"caf\xe9")
    outcome = faulty("compare", text_file, *QUICK, "--backends=numpy", "--out", odd)
    assert outcome.status == 0, outcome.err
    assert "caf\ufffd" in Path(odd, "report.md").read_text("utf-8")


def test_when_everyone_fails_the_answer_is_no(faulty: InstalledSite, text_file: Path) -> None:
    report = report_of(faulty("compare", text_file, *QUICK, "--backends=dies", "--json"), 1)
    assert report["verdict"].startswith("There was nothing to judge")


def test_the_default_text_is_each_pythons_own(toolkit: Toolkit) -> None:
    message = toolkit.error("compare", "--backends=numpy", "--python", f"numpy-x={sys.executable}")
    assert message.endswith("with --python, name a text")
