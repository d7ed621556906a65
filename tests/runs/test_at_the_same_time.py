"""What a reader, or a maker, of a run finds when another process changes things in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import RunError
from charkit.runs import check as check_module
from charkit.runs import listing, lock, new_folders
from charkit.runs import run as run_module
from charkit.runs.lock import RunLock
from charkit.runs.run import Run
from charkit.system import renames
from charkit.system.file_locks import try_lock
from charkit.system.folder_entries import HAS_HANDLES
from support import SMALL
from training_support import train


def _once(action: Callable[[], object]) -> Callable[[], None]:
    """Does it at the first call only."""
    done: list[object] = []

    def act() -> None:
        if not done:
            done.append(action())

    return act


def _put_in_place_of(path: str, other: str) -> None:
    """As ``overwrite`` does: the other run gets the path."""
    Path(path).rename("away")
    Path(other).rename(path)


@pytest.fixture
def two_runs(text_file: Path) -> None:
    """``r``, and ``other``, which has another vocabulary and other sizes."""
    train(text_file, run="r", max_steps=1)
    text_file.write_text("0123456789 " * 100, "utf-8")
    charkit.train(text_file, run="other", threads=1, **{**SMALL, "max_steps": 2, "lstm_size": 7})


def test_a_checkpoint_that_is_saved_during_a_check_is_no_damage(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(text_file, run="r", max_steps=3)
    held = RunLock.take(Path("r"))
    real = check_module._checkpoints

    def save() -> None:
        held.release()  # by the training process that it stands for, which goes on
        train(resume="r", max_steps=5)

    save_once = _once(save)

    def look(run: Run) -> Any:
        found = real(run)
        save_once()
        return found

    monkeypatch.setattr(check_module, "_checkpoints", look)
    found = charkit.check("r")
    assert found.whole, found
    assert found.usable[0].step == 5


def test_a_check_of_a_damaged_run_that_is_trained_ends(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(text_file, run="r", max_steps=3)
    Path("r/latest").unlink()
    looks = []
    real = check_module._checkpoints
    monkeypatch.setattr(check_module, "_checkpoints", lambda run: looks.append(run) or real(run))
    with RunLock.take(Path("r")):
        assert not charkit.check("r").whole
    assert len(looks) == 2  # nothing has changed between the two


@pytest.mark.usefixtures("two_runs")
def test_a_run_that_is_replaced_while_it_is_opened_is_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = run_module.read_configuration
    replace_once = _once(lambda: _put_in_place_of("r", "other"))

    def read(*arguments: Any) -> Any:
        found = real(*arguments)
        replace_once()
        return found

    monkeypatch.setattr(run_module, "read_configuration", read)
    run = Run.open(Path("r"))
    assert run.config.model.lstm_size == 7
    assert "7" in run.vocabulary.to_json()


@pytest.mark.usefixtures("two_runs")
def test_a_run_that_is_replaced_before_its_checkpoint_is_read_is_not_called_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run.open(Path("r"))
    real = run_module.find_checkpoint
    replace_once = _once(lambda: _put_in_place_of("r", "other"))

    def find(*arguments: Any) -> Any:
        replace_once()
        return real(*arguments)

    monkeypatch.setattr(run_module, "find_checkpoint", find)
    with pytest.raises(RunError, match="was replaced while it was being read; try again"):
        run.checkpoint("latest")


def test_a_list_of_runs_has_the_checkpoint_that_took_the_place_of_the_latest(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(text_file, run=Path("runs/r"), max_steps=3)
    real, names = listing.pointed_at, ["00000001"]  # which has been removed since
    monkeypatch.setattr(listing, "pointed_at", lambda *arguments: names.pop() if names else real(*arguments))
    (listed,) = charkit.list_runs()
    assert (listed.steps, listed.problem) == (3, None)


def test_a_lock_that_another_process_only_looked_at_is_taken(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(text_file, run="r", max_steps=1)
    looks = [None]
    monkeypatch.setattr(lock, "try_lock", lambda handle: looks.pop() if looks else try_lock(handle))
    train(resume="r", max_steps=2)
    assert looks == []


def test_a_child_that_is_being_started_does_not_keep_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    held = try_lock(handle)
    assert held is not None
    copy = os.dup(handle)  # as a child has it between fork and exec
    held.release()
    again = try_lock(os.open(path, os.O_RDWR))
    os.close(copy)
    assert again is not None
    again.release()


def test_parents_that_another_check_removes_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir
    parent = tmp_path / "a" / "b"
    remove_once = _once(lambda: shutil.rmtree(tmp_path / "a"))

    def make(path: Path, *arguments: Any, **options: Any) -> None:
        if path.parent == parent:
            remove_once()
        real(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", make)
    new_folders.check_new_folder(parent / "new")
    assert not (tmp_path / "a").exists()


def test_parents_that_another_process_uses_by_now_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rmdir
    parent = tmp_path / "a" / "b"

    def remove(path: Path) -> None:
        real(path)
        if path.parent == parent:
            (parent / "another's").write_text("x")

    monkeypatch.setattr(Path, "rmdir", remove)
    new_folders.check_new_folder(parent / "new")
    assert os.listdir(parent) == ["another's"]


@pytest.mark.skipif(not HAS_HANDLES, reason="the system reaches nothing through a folder's handle")
def test_a_file_that_is_made_just_before_a_rename_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system can't rename without replacing."""
    monkeypatch.setattr(renames, "_system_call", lambda: None)
    monkeypatch.setattr(renames, "_exists", lambda *_: False)  # as it was a moment ago
    (tmp_path / "new").write_text("new")
    (tmp_path / "taken").write_text("another's")
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileExistsError):
        renames.rename_new("new", "taken", folder=folder)
    renames.rename_new("new", "free", folder=folder)
    os.close(folder)
    found = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert found == {"taken": "another's", "free": "new"}


def test_a_path_that_no_file_can_have_is_no_run() -> None:
    with pytest.raises(RunError, match="is not a charkit run"):
        Run.open(Path("a\0b"))
