"""Faulty backends beside this file, installed once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_support import Toolkit
from plugin_support import InstalledSite

FAULTY = Path(__file__).parent / "faulty"


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """All of them in one place. Not to be changed."""
    return InstalledSite(tmp_path_factory.mktemp("faulty")).install(FAULTY)


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)
