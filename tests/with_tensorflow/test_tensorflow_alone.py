"""TensorFlow is all that the TensorFlow backend needs."""

from __future__ import annotations

from pathlib import Path

import pytest

import alone

pytestmark = pytest.mark.tensorflow


def test_it_needs_no_other_framework(text_file: Path) -> None:
    alone.check("tensorflow", text_file, allowed={"tensorflow", "keras"})
