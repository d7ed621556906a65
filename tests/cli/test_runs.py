"""``toolkit runs``: every run is a row, also a damaged one, in the order that is asked for."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError, RunError
from cli_support import TINY, Toolkit


@pytest.fixture
def runs(toolkit: Toolkit, run: Path, text_file: Path) -> Path:
    """Three runs: small-1 of 30 steps, wide-1 larger and younger, and one without a text."""
    toolkit.ok("train", text_file, *TINY, "--lstm-size", "12", "--max-steps", "3", "--run", "runs/wide-1")
    for name, second in (("small-1", 1_000_000_000), ("wide-1", 1_000_000_060)):
        os.utime(Path("runs") / name / "latest", (second, second))
    return run.parent


def names(toolkit: Toolkit, *arguments: str) -> list[str]:
    return [run["name"] for run in toolkit.json("runs", *arguments)["runs"]]


@pytest.mark.usefixtures("runs")
def test_a_run_is_a_row(toolkit: Toolkit) -> None:
    first, second = toolkit.json("runs")["runs"]
    assert (first["name"], first["text"], first["backend"], first["steps"]) == (
        "wide-1",
        "small.txt",
        "numpy",
        3,
    )
    assert (second["lstm_size"], second["num_layers"], second["steps"]) == (8, 2, 30)
    progress = json.loads(Path("runs/small-1/checkpoints/00000030/progress.json").read_text())
    assert second["best_loss"] == progress["best_validation_loss"]
    assert second["saved"] == "2001-09-09T01:46:40+00:00"
    said = toolkit.ok("runs").out
    assert "2 x 12" in said
    assert f"{second['best_loss']:.4f}" in said
    assert max(map(len, said.splitlines())) <= 90


@pytest.mark.usefixtures("runs")
def test_the_order(toolkit: Toolkit) -> None:
    assert names(toolkit) == ["wide-1", "small-1"]
    assert names(toolkit, "--reverse") == ["small-1", "wide-1"]
    assert names(toolkit, "--sort", "name") == ["small-1", "wide-1"]
    assert names(toolkit, "--sort", "size", "--reverse") == ["wide-1", "small-1"]
    assert names(toolkit, "--sort", "steps") == ["wide-1", "small-1"]
    losses = [run["best_loss"] for run in toolkit.json("runs", "--sort", "loss")["runs"]]
    assert losses == sorted(losses)
    assert "is not one of 'name', 'text'" in toolkit.error("runs", "--sort", "color")
    with pytest.raises(ConfigurationError, match="unknown sort 'color'"):
        charkit.list_runs(sort="color")  # type: ignore[arg-type]


def test_a_damaged_run_is_a_row_that_says_so(toolkit: Toolkit, runs: Path) -> None:
    for name in ("cut", "emptied", "unreadable", "lost"):
        shutil.copytree(runs / "small-1", runs / name)
    with (runs / "cut/checkpoints/00000030/model.safetensors").open("r+b") as file:
        file.truncate(100)
    shutil.rmtree(runs / "emptied/checkpoints")
    (runs / "unreadable/config.json").write_text("no JSON")
    (runs / "lost/checkpoints/00000030/progress.json").unlink()
    (runs / "notes").mkdir()
    (runs / "file.txt").write_text("no run")
    problems = {run["name"]: run["problem"] for run in toolkit.json("runs")["runs"]}
    assert problems.keys() == {"small-1", "wide-1", "cut", "emptied", "unreadable", "lost"}
    assert problems["small-1"] is None
    assert "model.safetensors has 100 bytes, not " in problems["cut"]
    assert "checkpoint" in problems["emptied"]
    assert "config.json" in problems["unreadable"]
    assert problems["lost"] == "checkpoint 00000030 is damaged: progress.json is missing"
    outcome = toolkit.ok("runs")
    assert outcome.out.count("damaged\n") == 0
    for name in ("cut", "emptied", "unreadable", "lost"):
        assert f"{name} is damaged: " in outcome.out
    assert outcome.out.rstrip().endswith("check a run with: toolkit check RUN")


def test_a_prepared_text_is_no_row(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    toolkit.ok("prepare", text_file, "--out", run.parent / "prepared")
    assert names(toolkit) == ["small-1"]


def test_no_runs(toolkit: Toolkit) -> None:
    assert toolkit.ok("runs").out == "no runs in 'runs'; train one with: toolkit train\n"
    assert toolkit.json("runs") == {"runs": []}
    assert (
        toolkit.error("runs", "absent")
        == "directory 'absent' doesn't exist; give a directory that contains runs"
    )
    Path("a.txt").write_text("no run")
    assert toolkit.error("runs", "a.txt") == "'a.txt' is not a directory; give a directory that contains runs"
    with pytest.raises(RunError, match="doesn't exist"):
        charkit.list_runs("absent")


def test_texts_of_runs(toolkit: Toolkit, run: Path) -> None:
    charkit.train(
        string="abc " * 500,
        recipe="classic",
        lstm_size=4,
        batch_size=4,
        max_steps=1,
        run="runs/string-1",
        threads=1,
    )
    toolkit.ok("export", run, "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "runs/imported-1")
    texts = {each.name: (each.text, each.backend) for each in charkit.list_runs()}
    assert texts == {
        "small-1": ("small.txt", "numpy"), "string-1": ("the text stored in the run", "numpy"),
        "imported-1": ("", None),
    }  # fmt: skip


def test_a_notebook_shows_a_table(run: Path) -> None:
    page = charkit.list_runs()._repr_html_()
    assert page.count("<tr>") == 2
    assert "small-1" in page


@pytest.mark.usefixtures("runs")
def test_a_directory_that_can_not_be_read_is_a_row(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/locked").mkdir()
    real = os.lstat

    def lstat(path: str | os.PathLike[str], **options: Any) -> os.stat_result:
        if os.path.basename(os.path.dirname(path)) == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert names(toolkit) == ["wide-1", "small-1", "locked"]
    assert toolkit.json("runs")["runs"][2]["problem"]
