"""Files written by path: the errors that writing raises, what files contain, and their hashes."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from charkit.errors import StorageError
from charkit.runs.files_by_path import file_sha256, replace_file, to_json, writing


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


def test_a_file_in_the_path_is_a_storage_error() -> None:
    Path("file").write_text("a file")
    with pytest.raises(StorageError, match="can't write 'file/b'"):
        replace_file(Path("file/b"), b"")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_of_the_whole_file(size: int) -> None:
    content = os.urandom(size)
    Path("file").write_bytes(content)
    assert file_sha256(Path("file")) == sha256(content).hexdigest()


def test_json_is_written_as_text_that_people_read() -> None:
    assert to_json({"é": "€"}) == '{\n  "é": "€"\n}\n'.encode()
