"""The command line, called in this process, and a folder of this process's own for Ray's note of a cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_support import Toolkit


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


@pytest.fixture(scope="session", autouse=True)
def _own_note() -> Iterator[None]:
    """Ray notes in one file which cluster runs on a machine. Here every process of the tests has a file of its own."""
    folder = tempfile.mkdtemp(prefix="note-", dir="/tmp")
    Path(folder, "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        yield
    shutil.rmtree(folder)
