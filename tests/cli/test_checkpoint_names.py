"""Which folders are checkpoints: those with exactly the name that charkit gives to their step. Others are let alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import charkit
from charkit.runs.checkpoint import save_checkpoint
from charkit.runs.pointers import point, step_of
from charkit.runs.pruning import prune
from charkit.runs.run import Run
from cli_support import Toolkit


def _checkpoints(run: Path) -> set[str]:
    return set(os.listdir(run / "checkpoints"))


@pytest.mark.parametrize(
    "name",
    ["00000030-backup", "30", "030", "000000030", "00000030.old", "٠٠٠٠٠٠٣٠", "0000003a", "1e8", "9" * 40],
)
def test_what_looks_like_a_number_is_neither_read_nor_removed(toolkit: Toolkit, run: Path, name: str) -> None:
    shutil.copytree(run / "checkpoints" / "00000030", run / "checkpoints" / name)
    (run / "checkpoints" / "7 notes.txt").write_text("mine")
    toolkit.ok("evaluate", run)
    said = toolkit.ok("train", "--resume", run, "--max-steps", "50", "--save-every", "5", "--threads", "1")
    assert "note: skipped" not in said.err
    assert {name, "7 notes.txt"} <= _checkpoints(run)


def test_a_checkpoint_under_the_name_of_another_step_is_said_and_kept(toolkit: Toolkit, run: Path) -> None:
    shutil.copytree(run / "checkpoints" / "00000030", run / "checkpoints" / "00000700")
    said = toolkit.ok("evaluate", run, "--checkpoint", "latest")
    assert "note: skipped checkpoint 00000700: its name does not match its step, 30" in said.err
    toolkit.ok("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    assert {"00000700", "00000040"} <= _checkpoints(run)
    assert charkit.load_run(run, checkpoint="latest").step == 40


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("00000000", 0),
        ("99999999", 99_999_999),
        ("100000000", 10**8),
        ("0100000000", None),
        ("-0000001", None),
    ],
)
def test_names_and_steps(name: str, step: int | None) -> None:
    assert step_of(name) == step


def test_steps_are_ordered_by_number(run: Path) -> None:
    saved = Run.open(run).checkpoint("latest")[0]
    for step in (99_999_998, 99_999_999, 100_000_000):
        progress = saved.progress.model_copy(update={"step": step})
        save_checkpoint(run, type(saved)(saved.snapshot, progress))
    (run / "best").unlink()
    assert Run.open(run).checkpoint("latest")[1].name == "100000000"
    prune(run)
    assert _checkpoints(run) == {"99999999", "100000000"}


def test_a_missing_best_checkpoint_is_said(toolkit: Toolkit, run: Path) -> None:
    point(run, "best", 12345)
    said = toolkit.ok("sample", run, "--length", "3")
    assert "note: the best checkpoint, 00012345, is missing, but the newest " in said.err
    assert "best" not in toolkit.ok("sample", run, "--length", "3", "--checkpoint", "latest").err


@pytest.mark.parametrize("name", ["../../elsewhere", "00000030/../00000030", "", "30", None])
def test_a_pointer_names_checkpoints_alone(toolkit: Toolkit, run: Path, name: str | None) -> None:
    (run / "best").write_text(json.dumps({"checkpoint": name, "step": 30}))
    assert "best' can't be read (" in toolkit.error("sample", run)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{}", "'checkpoint' is missing"), (None, "is a directory"), ("{", "Expecting property name")],
)
def test_a_pointer_that_can_not_be_read_is_explained(
    toolkit: Toolkit, run: Path, content: str | None, reason: str
) -> None:
    (run / "best").unlink()
    (run / "best").mkdir() if content is None else (run / "best").write_text(content)
    message = toolkit.error("sample", run)
    assert reason in message
    assert "Errno" not in message
