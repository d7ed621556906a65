"""A step for which PyTorch has no memory left changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from charrnn_support import assert_equal, batch, model

pytestmark = pytest.mark.torch


def test_an_update_without_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def exhausted(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    network, sound = model(backend="torch"), model(backend="torch")
    for one in (network, sound):
        one.train_step(*batch(1))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty_like", exhausted)
        with pytest.raises(MemoryError, match="can't allocate memory"):
            network.train_step(*batch(2))
    assert_equal(network, sound)
    for one in (network, sound):
        one.train_step(*batch(3))
    assert_equal(network, sound)


def test_an_array_for_which_there_is_no_memory_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an error of the backend: a worker that runs out of memory while it copies weights is replaced."""
    import torch

    def exhausted(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    network = model(backend="torch")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "tensor", exhausted)
        with pytest.raises(MemoryError, match="can't allocate memory"):
            network.initial_state(4)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "cpu", exhausted)
        with pytest.raises(MemoryError, match="can't allocate memory"):
            network.weights()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_what_an_update_allocates_is_reserved_before_it_writes(weight_decay: float) -> None:
    """Only scalars, such as the rates, are allocated after the moments have begun to change."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    reserved = allocated = 0
    written = False

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal reserved, allocated, written
            result = function(*args, **(kwargs or {}))
            name = function.overloadpacket.__name__
            made = result if isinstance(result, list | tuple) else [result]
            elements = sum(one.numel() for one in made if isinstance(one, torch.Tensor) and one.dim())
            if name == "empty_like":
                reserved += elements
            elif written and not name.endswith("_"):
                allocated += elements
            written = written or name == "_foreach_lerp_"
            return result

    network = model(backend="torch", weight_decay=weight_decay)
    gradients = network.gradients(*batch(1))[0]
    with Recorder():
        network.apply_gradients(gradients)
    assert written
    assert 0 < allocated <= reserved
