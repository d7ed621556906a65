"""PyTorch is all that the PyTorch backend needs."""

from __future__ import annotations

from pathlib import Path

import pytest

import alone

pytestmark = pytest.mark.torch


def test_it_needs_no_other_framework(text_file: Path) -> None:
    alone.check("torch", text_file, allowed={"torch"})
