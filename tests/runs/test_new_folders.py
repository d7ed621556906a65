"""New folders: the errors of making them, and what an error leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charkit.errors import StorageError
from charkit.runs.new_folders import check_new_folder, parents_made


def test_a_file_in_the_path_is_a_storage_error() -> None:
    Path("file").write_text("a file")
    with pytest.raises(StorageError, match="can't write 'file/b'"):
        check_new_folder(Path("file/b"))


def test_a_new_folder_is_tried_and_nothing_of_it_stays() -> None:
    check_new_folder(Path("a/b/c/run"))
    assert list(Path().iterdir()) == []
    Path("a").mkdir()
    check_new_folder(Path("a/b/run"))
    assert list(Path("a").iterdir()) == []


def test_parents_that_another_process_uses_stay_after_an_error() -> None:
    def fail() -> None:
        with parents_made(Path("a/b")):
            Path("a/other").mkdir()
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        fail()
    assert os.listdir("a") == ["other"]
