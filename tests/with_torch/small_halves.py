"""Lets the PyTorch backend divide batches of any size."""

from __future__ import annotations

import pytest


def divide_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch of two sequences or more is computed in two halves."""
    from charkit_torch import backend

    monkeypatch.setattr(backend, "_LEAST_TO_DIVIDE", 2)
    monkeypatch.setattr(backend, "_LEAST_SHARE_OF_UNITS", 0)
    monkeypatch.setattr(backend, "_LEAST_WORK", 0)
