"""The distributions beside this file, installed together once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin_support import InstalledSite

DISTRIBUTIONS = Path(__file__).parent / "distributions"


@pytest.fixture(scope="session")
def distributions() -> Path:
    """The folder of their sources."""
    return DISTRIBUTIONS


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """All of them in one place, the good beside the bad. Not to be changed."""
    site = InstalledSite(tmp_path_factory.mktemp("everything"))
    return site.install(*sorted(DISTRIBUTIONS.iterdir()))
