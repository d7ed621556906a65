"""What is written to disk: the errors that it raises, what an error leaves, and what files contain."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from charkit.errors import StorageError
from charkit.runs.atomic_files import (
    check_new_folder,
    file_sha256,
    parents_made,
    replace_file,
    to_json,
    writing,
)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, "No space left"), "the disk is full; free some space"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError("no number"), "no number"),
    ],
)
def test_an_error_names_the_path_and_the_remedy(error: OSError, what: str) -> None:
    with pytest.raises(StorageError) as raised, writing(Path("a")):
        raise error
    assert str(raised.value) == f"can't write 'a': {what}"
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "write", [lambda path: replace_file(path / "b", b""), lambda path: check_new_folder(path / "b")]
)
def test_a_file_in_the_path_is_a_storage_error(write: Callable[[Path], None]) -> None:
    Path("file").write_text("a file")
    with pytest.raises(StorageError, match="can't write 'file/b'"):
        write(Path("file"))


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


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_of_the_whole_file(size: int) -> None:
    content = os.urandom(size)
    Path("file").write_bytes(content)
    assert file_sha256(Path("file")) == sha256(content).hexdigest()


def test_json_is_written_as_text_that_people_read() -> None:
    assert to_json({"é": "€"}) == '{\n  "é": "€"\n}\n'.encode()
