"""Frameworks' own layers follow charkit's network over several epochs: they are the same model, reset where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit.config import RunConfig
from charkit_comparison.own_layers.registry import REGISTRY
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.worker_process import WorkerProcess
from comparison_support import spec_of_epochs

pytestmark = pytest.mark.together

#: Three epochs of 30 steps, and the first steps of another one.
EPOCH, STEPS = 30, 95
OWN = {one.label: Variant(one.label, one.framework, module=one.module) for one in REGISTRY}
#: How often a stream's state is reset where no epoch starts.
RESETS = 0.3
#: A learning rate that changes no weight in float32: what is left in a loss is the state that a step starts from.
FROZEN = 1e-12


def plan_in(folder: Path, reset_probability: float, **optimizer: float) -> Plan:
    """The plan of a small model without dropout, and its spec in the folder."""
    spec = spec_of_epochs(
        folder,
        steps=EPOCH,
        num_steps=16,
        model={"lstm_size": 16, "dropout": 0.0},
        optimizer=optimizer,
        training={"reset_probability": reset_probability},
    )
    config: RunConfig = spec.config
    return Plan(config, steps=STEPS, rounds=1, threads=1, folder=folder)


def trained(variants: Sequence[Variant], plan: Plan) -> tuple[list[np.ndarray[Any, Any]], list[list[str]]]:
    """The losses of each step of each variant, and each one's notices."""
    losses, notices = [], []
    for variant in variants:
        process = WorkerProcess(variant, plan)
        try:
            notices.append(process.prepare()["notices"])
            losses.append(np.array(process.request("train", steps=STEPS)["losses"]))
        finally:
            process.close()
    return losses, notices


def test_flax_follows_within_rounding(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, RESETS, learning_rate=0.001)
    (ours, flax), _ = trained([Variant("numpy", "numpy"), OWN["Flax and Optax"]], plan)
    assert ours[-1] < 0.9 * ours[0]
    assert flax == pytest.approx(ours, abs=1e-4)


def test_every_state_that_is_carried_is_reset_where_charkits_is(tmp_path: Path) -> None:
    """Without changes of weights, so that PyTorch's second bias and Keras's epsilon play no part."""
    carrying = ["plain torch.nn.LSTM", "Keras on TensorFlow", "Flax and Optax"]
    plan = plan_in(tmp_path, RESETS, learning_rate=FROZEN)
    (ours, *own), _ = trained([Variant("numpy", "numpy"), *map(OWN.__getitem__, carrying)], plan)
    for label, losses in zip(carrying, own, strict=True):
        assert losses == pytest.approx(ours, abs=1e-5), label


def test_keras_follows_but_for_its_epsilon_which_is_stated(tmp_path: Path) -> None:
    variants = [Variant("numpy", "numpy"), OWN["Keras on TensorFlow"]]
    for epsilon, least, most in ((1e-16, 0.0, 1e-4), (1e-4, 1e-3, 1.0)):
        folder = tmp_path / f"{epsilon:g}"
        folder.mkdir()
        (ours, keras), (_, notices) = trained(
            variants, plan_in(folder, 0.0, learning_rate=0.001, epsilon=epsilon)
        )
        assert least <= abs(keras - ours).max() <= most
        assert notices[-1].endswith(f"at the first step and only gradually approaches {epsilon:g}")
