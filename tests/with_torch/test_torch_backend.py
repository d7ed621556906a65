"""What is PyTorch's own, beyond the kit."""

from __future__ import annotations

import pytest

from charkit import plugins

pytestmark = pytest.mark.torch


def test_the_peak_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    made = plugins.create("torch")
    assert made.device_memory_bytes() is None  # on a processor
    monkeypatch.setattr(made, "_device", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {torch.device("cuda:1"): 5}.__getitem__)
    assert made.device_memory_bytes() == 5
