"""The command line, called in this process."""

from __future__ import annotations

import pytest

from cli_support import Toolkit


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)
