"""Texts on disk, and a scratch folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import charkit.text.files
from text_support import Write


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    monkeypatch.setenv("CHARKIT_SCRATCH", str(folder))
    return folder


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a border between chunks after every third byte."""
    monkeypatch.setattr(charkit.text.files, "CHUNK_BYTES", 3)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(raw: bytes) -> str:
        path = tmp_path / "some text.txt"
        path.write_bytes(raw)
        return str(path)

    return write_file
