"""Where encoded text lies on disk, and that nothing of it stays there."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from pathlib import Path

import pytest

from charkit.config import DataConfig
from charkit.errors import StorageError
from charkit.text.corpus import open_string
from charkit.text.encoded_file import scratch_folder
from text_support import message_of


def test_nothing_is_left_on_disk(scratch: Path) -> None:
    with open_string("abc", DataConfig()):
        assert list(scratch.iterdir()) == []


class FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FullDisk())
    message = message_of(StorageError, lambda: open_string("ab" * 600, DataConfig()))
    assert message.startswith(
        f"can't write the encoded text (1,200 bytes) to {str(scratch)!r}: No space left"
    )
    assert "set CHARKIT_SCRATCH" in message


def test_a_scratch_folder_that_can_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHARKIT_SCRATCH", str(tmp_path / "file" / "x"))
    message = message_of(StorageError, lambda: open_string("ab", DataConfig()))
    assert message.startswith(f"CHARKIT_SCRATCH is {str(tmp_path / 'file' / 'x')!r}, which can't be created")


def test_scratch_is_the_users_cache_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARKIT_SCRATCH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert scratch_folder() == tmp_path / "cache" / "charkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert scratch_folder() == tmp_path / "home" / ".cache" / "charkit"


@pytest.fixture
def unusable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.delenv("CHARKIT_SCRATCH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("unusable_cache")
def test_scratch_without_a_cache_is_the_systems_folder() -> None:
    assert scratch_folder() == Path(tempfile.gettempdir())
