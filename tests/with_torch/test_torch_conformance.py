"""The PyTorch backend passes every check of the kit."""

from __future__ import annotations

from typing import ClassVar

import pytest

from charkit.testing.pytest_kit import BackendConformance
from with_torch.small_halves import divide_every_batch

pytestmark = pytest.mark.torch


class TestTorch(BackendConformance):
    backend = "torch"


class TestTorchInHalves(BackendConformance):
    """Also where it divides batches that are too small for two threads to pay, except in isolated processes."""

    backend = "torch"
    _patch: ClassVar[pytest.MonkeyPatch]

    @classmethod
    def setup_class(cls) -> None:
        cls._patch = pytest.MonkeyPatch()
        divide_every_batch(cls._patch)

    @classmethod
    def teardown_class(cls) -> None:
        cls._patch.undo()
        super().teardown_class()
