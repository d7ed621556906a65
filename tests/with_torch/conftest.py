"""Fixtures of the tests of PyTorch's threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def limits() -> None:
    """Skips the test where the backend can't limit PyTorch's threads."""
    from charkit_torch import threads

    if not threads.can_limit():
        pytest.skip("this PyTorch does not show the functions of its threads")


@pytest.fixture
def number_of_threads() -> Iterator[None]:
    """Puts back the number that creating a backend sets for the process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
