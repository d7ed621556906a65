"""What killed processes leave is removed when it is surely debris; whatever may be a user's stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from charkit.runs.lock import RunLock
from charkit.runs.temporary_names import temporary_name
from cli_support import TINY, Toolkit, snapshot

POINTER = '{\n  "checkpoint": "00000030",\n  "step": 30\n}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latest", POINTER),
        ("best", POINTER[:9]),
        ("best", ""),
        ("metrics.jsonl", '{"step": 5'),
        ("README.md", "# small"),
    ],
)
def test_unfinished_files_go_when_training_goes_on(
    toolkit: Toolkit, run: Path, name: str, content: str
) -> None:
    unfinished = run / temporary_name(name)
    unfinished.write_text(content)
    toolkit.ok("sample", run, "--length", "3")
    assert unfinished.exists(), "a reader changed the run"
    toolkit.ok("train", "--resume", run, "--max-steps", "31", "--threads", "1")
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".latest-settings", "mine"),
        (".best-of", POINTER),
        ("latest-0a1b2c3d", POINTER),
        (".notes-0a1b2c3d", "mine"),
        (".latest-0a1b2c3d", POINTER),
        (".best-original", POINTER[:9]),
        (".README.md-draft001", "mine"),
        (".lock-personal", ""),
        (".text.txt-original", "mine"),
        ("checkpoints/.00000060-mybackup", "mine"),
        (".charkit-tmp-0a1b2c3d4e5f6071-notes.txt", "mine"),
    ],
)
def test_other_files_stay(toolkit: Toolkit, run: Path, name: str, content: str) -> None:
    (run / name).write_text(content)
    toolkit.ok("train", "--resume", run, "--max-steps", "31", "--threads", "1")
    assert (run / name).read_text() == content


def _resume(toolkit: Toolkit, run: Path) -> None:
    toolkit.ok("train", "--resume", run, "--max-steps", "31", "--threads", "1")


def test_a_replaced_run_goes_and_so_does_half_of_a_new_one(toolkit: Toolkit, run: Path) -> None:
    shutil.copytree(run, run.with_name(temporary_name("small-1", old=True)))
    half = Path(shutil.copytree(run, run.with_name(temporary_name("small-1", old=True))))
    (half / "config.json").unlink()
    (half / "lock").unlink()
    new = Path(shutil.copytree(run, run.with_name(temporary_name("small-1"))))
    shutil.rmtree(new / "checkpoints")
    _resume(toolkit, run)
    assert [path.name for path in run.parent.iterdir()] == ["small-1"]


def test_what_may_be_a_users_stays(toolkit: Toolkit, run: Path) -> None:
    """It holds a file that charkit does not write, a process holds it, it is another run's, or it is just begun."""
    with_notes = Path(shutil.copytree(run, run.with_name(temporary_name("small-1"))))
    (with_notes / "notes.txt").write_text("mine")
    another = Path(shutil.copytree(run, run.with_name(temporary_name("small-2", old=True))))
    begun = run.with_name(temporary_name("small-1"))
    begun.mkdir()
    held = Path(shutil.copytree(run, run.with_name(temporary_name("small-1"))))
    with RunLock.take(held):
        _resume(toolkit, run)
    assert {with_notes, another, begun, held} <= set(run.parent.iterdir())


def test_copies_that_a_user_keeps_stay(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    """They hold only what charkit writes, and earlier versions gave such names too."""
    names = (".small-1-original", ".small-1-20260101", ".small-1-old-20260101")
    copies = [Path(shutil.copytree(run, run.with_name(name))) for name in names]
    before = [snapshot(copy) for copy in copies]
    _resume(toolkit, run)
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", run, "--overwrite")
    assert [snapshot(copy) for copy in copies] == before


def test_overwriting_removes_them_too(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    shutil.copytree(run, run.with_name(temporary_name("small-1", old=True)))
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", run, "--overwrite")
    assert [path.name for path in run.parent.iterdir()] == ["small-1"]
