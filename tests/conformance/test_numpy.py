"""The NumPy backend passes every check of the kit."""

from __future__ import annotations

from charkit.testing.pytest_kit import BackendConformance


class TestNumpy(BackendConformance):
    backend = "numpy"
