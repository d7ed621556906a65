"""Numba is used in these tests, which ask for it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _with_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARKIT_NUMBA", "1")
