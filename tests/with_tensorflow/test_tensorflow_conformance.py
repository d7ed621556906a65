"""The TensorFlow backend passes every check of the kit."""

from __future__ import annotations

import pytest

from charkit.testing.pytest_kit import BackendConformance

pytestmark = pytest.mark.tensorflow


class TestTensorFlow(BackendConformance):
    backend = "tensorflow"
