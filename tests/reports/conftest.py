"""Runs to report on: small, trained once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_support import TINY, Toolkit
from support import SMALL_TEXT


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs: one of two sessions, and one of another size on another text."""
    folder = tmp_path_factory.mktemp("trained") / "somebody's private folder"
    folder.mkdir()

    def toolkit(*arguments: str) -> None:
        command = [sys.executable, "-m", "charkit_cli", "train", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    (folder / "small.txt").write_text(SMALL_TEXT, "utf-8")
    (folder / "other.txt").write_text(SMALL_TEXT[::-1], "utf-8")
    toolkit("small.txt", *TINY, "--eval-every=7", "--max-steps=60")
    toolkit("--resume", "runs/small-1", "--max-steps=80", "--threads=1")
    toolkit("other.txt", *TINY, "--lstm-size=12", "--max-steps=20", "--schedule=cosine")
    return folder / "runs" / "small-1", folder / "runs" / "other-1"
