"""The conformance kit for pytest; needs ``charkit[testing]``.

from charkit.testing.pytest_kit import BackendConformance

class TestMine(BackendConformance):
    backend = "mine"
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("charkit.testing.conformance")

from charkit.testing.conformance import BackendConformance  # noqa: E402 - after registering

__all__ = ["BackendConformance"]
