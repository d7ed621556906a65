"""The author's guide, and the complete backend on NumPy, taken from its page and installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_support import Toolkit
from guide.pages import example_files, read, write_example
from plugin_support import InstalledSite

EXAMPLE = "backend-example"


@pytest.fixture(scope="session")
def guide() -> str:
    """The text of the page that authors read first."""
    return read("backends")


@pytest.fixture(scope="session")
def worked() -> dict[str, str]:
    """The files of the complete backend, by path."""
    return example_files(EXAMPLE)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The complete backend as a reader would have written it down."""
    return write_example(EXAMPLE, tmp_path_factory.mktemp("worked"))


@pytest.fixture(scope="session")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """The complete backend, installed; not to be changed."""
    return InstalledSite(tmp_path_factory.mktemp("site")).install(source)


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)
