"""What a killed process left, and what may be a user's own or a living process's."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit.runs.debris import (
    RUN_FILES,
    is_left_over,
    left_over_files,
    restore_old,
    restore_old_folders,
)
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import NAME as LOCK
from charkit.runs.temporary_names import temporary_name


def test_only_a_folder_with_a_temporary_name_is_left_over() -> None:
    plain, temporary = "run-1", temporary_name("run-1")
    for name in (plain, temporary):
        Path(name).mkdir()
        Path(name, "config.json").touch()
    file = temporary_name("run-2")
    Path(file).touch()
    with OpenFolder.at(Path()) as folder:
        assert is_left_over(folder, temporary, RUN_FILES)
        assert not is_left_over(folder, plain, RUN_FILES)
        assert not is_left_over(folder, file, RUN_FILES)
        Path(temporary, "notes.txt").touch()
        assert not is_left_over(folder, temporary, RUN_FILES)


def test_a_lock_that_is_gone_at_the_second_look_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    name = temporary_name("run-1")
    Path(name).mkdir()
    Path(name, LOCK).touch()
    monkeypatch.setattr(OpenFolder, "status", lambda folder, entry: None)
    monkeypatch.setattr(OpenFolder, "has_folder", lambda folder, entry: True)
    with OpenFolder.at(Path()) as folder:
        assert is_left_over(folder, name, {LOCK}) in {True, False}


def test_only_files_are_left_over_files() -> None:
    Path(temporary_name("config.json")).touch()
    Path(temporary_name("README.md")).mkdir()
    assert [name.rpartition("-")[2] for name in left_over_files(Path())] == ["config.json"]


@pytest.mark.parametrize(
    ("content", "comes_back"), [(["config.json"], True), (["config.json", "notes.txt"], False), ([], False)]
)
def test_what_version_0_1_moved_aside_comes_back_if_it_is_a_run(content: list[str], comes_back: bool) -> None:
    old = Path(".run-1-old-0123abcd")
    old.mkdir()
    for name in content:
        (old / name).touch()
    Path(".run-1-89abcdef").mkdir()
    restore_old(Path("run-1"))
    assert Path("run-1").is_dir() is comes_back
    assert old.is_dir() is not comes_back


def test_folders_that_are_given_back_are_named() -> None:
    Path(temporary_name("00000004", old=True)).mkdir()
    Path("00000008").mkdir()
    Path(temporary_name("00000008", old=True)).mkdir()
    with OpenFolder.at(Path()) as folder:
        assert restore_old_folders(folder, RUN_FILES) == ["00000004"]
    assert Path("00000004").is_dir()
