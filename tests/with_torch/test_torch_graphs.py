"""States that really keep their graph: the PyTorch backend without what cuts them from it."""

from __future__ import annotations

from typing import Any

import pytest

from charkit.testing import Subject, all_checks, run_check

pytestmark = pytest.mark.torch
CHECKS = {check.name: check for check in all_checks()}


def _keeping_state_of_gradients() -> Any:
    """The state after a gradient is not detached, so it refers to the graph of every step before it."""
    import torch

    from charkit_torch.backend import TorchBackend

    class Faulty(TorchBackend):
        def differentiate(self, forward: Any) -> Any:
            def backward(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
                with torch.enable_grad():
                    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                    nats, after = forward(leaves, symbols, targets, state, masks)
                    gradients = torch.autograd.grad(nats.mean(), list(leaves.values()), retain_graph=True)
                return dict(zip(leaves, gradients, strict=True)), nats.detach(), after

            return backward

    return Faulty


def _keeping_state_of_evaluation() -> Any:
    """Outside of gradients a graph is recorded too, for the weights ask for one."""
    import torch

    from charkit_torch.backend import TorchBackend

    class Faulty(TorchBackend):
        def build_lstm(self, model: Any) -> Any:
            inner = super().build_lstm(model)

            def lstm(weights: Any, *rest: Any) -> Any:
                asking = {
                    name: weight if weight.requires_grad else weight.detach().requires_grad_()
                    for name, weight in weights.items()
                }
                with torch.enable_grad():
                    return inner(asking, *rest)

            return lstm

    return Faulty


def _failed(backend: Any) -> set[str]:
    subject = Subject("torch", lambda precision: backend(precision=precision, device="cpu", threads=1))
    names = ("training_keeps_no_history", "evaluation_keeps_no_history", "sampling_keeps_no_history")
    results = {name: run_check(CHECKS[name], subject) for name in names}
    assert all("MB for every" in result.got for result in results.values() if result.got), results
    return {name for name, result in results.items() if result.status == "failed"}


def test_state_of_gradients_that_keeps_its_graph() -> None:
    assert _failed(_keeping_state_of_gradients()) == {"training_keeps_no_history"}


def test_state_of_evaluation_that_keeps_its_graph() -> None:
    assert _failed(_keeping_state_of_evaluation()) == {
        "evaluation_keeps_no_history",
        "sampling_keeps_no_history",
    }
