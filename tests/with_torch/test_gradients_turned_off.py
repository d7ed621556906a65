"""A user may have turned PyTorch's gradients off; training needs them all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

pytestmark = pytest.mark.torch


def _losses() -> list[float]:
    from charkit.charrnn import CharRNN

    network = CharRNN(11, 4, 6, lstm_size=8, backend="torch", threads=1, seed=3)
    text = np.random.default_rng(0).integers(0, 11, (3, 4, 7)).astype(np.int32)
    return [network.train_step(batch[:, :-1].copy(), batch[:, 1:].copy()).loss for batch in text]


def test_training_is_the_same_without_gradients() -> None:
    with torch.no_grad():
        turned_off = _losses()
        assert not torch.is_grad_enabled()
    assert turned_off == _losses()
