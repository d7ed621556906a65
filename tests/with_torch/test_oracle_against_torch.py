"""The judge against an independent authority: torch.nn.LSTM, its loss, clipping and AdamW, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charkit.config import OptimizerConfig
from charkit.testing.cases import Case, make_case
from charkit.testing.oracle import Oracle
from charkit.testing.oracle_run import OracleRun

pytestmark = pytest.mark.torch


def _modules(case: Case) -> tuple[Any, Any]:
    """torch.nn.LSTM and torch.nn.Linear with the case's weights; the second bias is zero and frozen."""
    import torch

    model = case.model
    lstm = torch.nn.LSTM(
        model.vocabulary_size, model.lstm_size, model.num_layers, batch_first=True, dtype=torch.float64
    )
    linear = torch.nn.Linear(model.lstm_size, model.vocabulary_size, dtype=torch.float64)
    with torch.no_grad():
        for layer in range(model.num_layers):
            for ours, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
                array = torch.tensor(case.weights[f"lstm.{layer}.{ours}"])
                getattr(lstm, f"{theirs}_l{layer}").copy_(array)
            getattr(lstm, f"bias_hh_l{layer}").zero_().requires_grad_(False)
        linear.weight.copy_(torch.tensor(case.weights["output.weight"]))
        linear.bias.copy_(torch.tensor(case.weights["output.bias"]))
    return lstm, linear


def _named(lstm: Any, linear: Any, num_layers: int) -> dict[str, Any]:
    """Their parameters by canonical name."""
    named = {"output.weight": linear.weight, "output.bias": linear.bias}
    for layer in range(num_layers):
        named[f"lstm.{layer}.weight_ih"] = getattr(lstm, f"weight_ih_l{layer}")
        named[f"lstm.{layer}.weight_hh"] = getattr(lstm, f"weight_hh_l{layer}")
        named[f"lstm.{layer}.bias"] = getattr(lstm, f"bias_ih_l{layer}")
    return named


def _loss(case: Case, lstm: Any, linear: Any, state: tuple[Any, Any], batch: tuple[Any, Any]) -> Any:
    import torch

    one_hot = torch.nn.functional.one_hot(torch.tensor(batch[0]).long(), case.model.vocabulary_size).double()
    features, after = lstm(one_hot, state)
    targets = torch.tensor(batch[1]).long().flatten()
    return torch.nn.functional.cross_entropy(linear(features).flatten(0, 1), targets), after


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_loss_state_and_gradients(num_layers: int) -> None:
    import torch

    case = make_case(num_layers=num_layers)
    lstm, linear = _modules(case)
    state = (torch.tensor(case.state.hidden), torch.tensor(case.state.cell))
    loss, after = _loss(case, lstm, linear, state, (case.symbols, case.targets))
    loss.backward()
    oracle = Oracle(case.model)
    nats, expected = oracle.nats(case.weights, *case.batch)
    assert nats.mean() == pytest.approx(loss.item(), rel=1e-14)
    np.testing.assert_allclose(expected.hidden, after[0].detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(expected.cell, after[1].detach().numpy(), rtol=1e-13)
    gradients = oracle.gradients(case.weights, *case.batch)
    for name, parameter in _named(lstm, linear, num_layers).items():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_ten_clipped_steps_of_adamw_with_carried_state(weight_decay: float) -> None:
    import torch

    case = make_case(with_state=False)
    optimizer = OptimizerConfig(learning_rate=0.02, grad_clip=0.3, weight_decay=weight_decay)
    run = OracleRun(Oracle(case.model, optimizer), case.weights, len(case.symbols))
    lstm, linear = _modules(case)
    parameters = list(_named(lstm, linear, case.model.num_layers).values())
    groups = [{"params": [one], "weight_decay": weight_decay if one.ndim == 2 else 0.0} for one in parameters]
    adam = torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.999), eps=1e-8)
    state = (torch.tensor(case.state.hidden), torch.tensor(case.state.cell))
    for step in range(10):
        batch = (np.roll(case.symbols, step, axis=1), np.roll(case.targets, step, axis=1))
        adam.zero_grad()
        loss, state = _loss(case, lstm, linear, state, batch)
        loss.backward()
        norm = torch.linalg.vector_norm(torch.stack([one.grad.norm() for one in parameters])).item()
        for parameter in parameters:
            parameter.grad.mul_(min(1.0, 0.3 / norm))
        adam.step()
        state = (state[0].detach(), state[1].detach())
        came, came_norm = run.train_step(*batch)
        assert came == pytest.approx(loss.item(), rel=1e-12)
        assert came_norm == pytest.approx(norm, rel=1e-12)
    for name, parameter in _named(lstm, linear, case.model.num_layers).items():
        np.testing.assert_allclose(run.weights[name], parameter.detach().numpy(), rtol=1e-10, atol=1e-13)
