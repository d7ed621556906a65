"""The backend author's guide, and the backend that it holds, taken from the page and installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli_support import Toolkit
from plugin_support import InstalledSite

_PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
#: A line that begins with a file's name, and the block of code below it.
_FILE = re.compile(r"^`([\w/]+\.\w+)`[^\n]*\n(?:[^\n`]+\n)*\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def guide() -> str:
    """The text of the page."""
    return _PAGE.read_text("utf-8")


@pytest.fixture(scope="session")
def worked(guide: str) -> dict[str, str]:
    """The files of the worked backend, by path."""
    return dict(_FILE.findall(guide))


@pytest.fixture(scope="session")
def source(worked: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked backend as a reader would have written it down."""
    folder = tmp_path_factory.mktemp("worked")
    for path, text in worked.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="session")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """The worked backend, installed; not to be changed."""
    return InstalledSite(tmp_path_factory.mktemp("site")).install(source)


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)
