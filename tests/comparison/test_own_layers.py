"""Frameworks' own layers beside charkit's network: where their state is reset, and what their rows measure."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN
from charkit.config import OptimizerConfig
from charkit_comparison.own_layers.keras_layers import _epsilon_notices
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.processes.participant import Participant
from charkit_comparison.processes.worker import VariantWorker
from comparison_support import spec_of_epochs

STEPS = 14
#: Before which step which streams were reset; None for all of them.
Resets = list[tuple[int, list[bool] | None]]


class Layers:
    """Own layers that only note what they are asked for."""

    def __init__(self) -> None:
        self.steps, self.resets = 0, Resets()
        self.versions: dict[str, str] = {}
        self.notices = ()

    def reset_state(self, streams: Any = None) -> None:
        self.resets.append((self.steps + 1, None if streams is None else streams.tolist()))

    def step(self, *_: Any) -> float:
        self.steps += 1
        return 1.0


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What workers read: a text of five batches, and the test's parameter as the probability of a reset."""
    spec_of_epochs(
        tmp_path,
        steps=5,
        num_steps=8,
        model={"lstm_size": 8},
        training={"reset_probability": request.param},
    )
    return tmp_path


def worker(folder: Path, module: str | None) -> VariantWorker:
    return VariantWorker(
        {
            "folder": str(folder),
            "backend": "numpy",
            "precision": "float32",
            "device": None,
            "module": module,
            "threads": 1,
            "steps": STEPS,
            "planned_steps": STEPS,
            "control": 0,
            "started": time.time(),
        }
    )


@pytest.mark.parametrize("folder", [0.0, 0.4], indirect=True)
def test_own_layers_are_reset_where_charkits_network_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = Layers()
    monkeypatch.setitem(sys.modules, "layers_of_a_test", SimpleNamespace(make=lambda *_, **__: layers))
    worker(folder, "layers_of_a_test").train({"steps": STEPS})
    ours = worker(folder, None)
    expected = Resets()

    def note(model: CharRNN, streams: Any = None) -> None:
        expected.append((model.step + 1, None if streams is None else streams.tolist()))

    monkeypatch.setattr(CharRNN, "reset_state", note)
    ours.train({"steps": STEPS})
    assert ours.batches.count == 5
    assert layers.resets == expected
    assert [step for step, streams in expected if streams is None] == [1, 6, 11]


class Answers:
    """The process of a variant whose memory grows with each request, as if each took more than the last."""

    def __init__(self, loss: float = 1.0) -> None:
        self._loss, self._peak = loss, 1000

    def request(self, action: str, **details: Any) -> dict[str, Any]:
        memory = {"peak_memory_bytes": self._peak, "device_memory_bytes": self._peak // 10}
        self._peak += 1000
        if action != "train":
            return {"text": "a", "speed": 1.0, "loss": 1.0, "step": 1, "elapsed_seconds": 1.0, **memory}
        curve = [self._loss] * details["steps"]
        measured = {"steps": len(curve), "seconds": 1.0, "other_processors": None, "first_step_seconds": None}
        return {"losses": curve, "norms": curve, **measured, **memory}

    def close(self) -> None:
        pass


def participant(answers: Answers, tmp_path: Path) -> Participant:
    config: Any = SimpleNamespace(data=SimpleNamespace(batch_size=4, num_steps=8))
    plan = Plan(config, steps=4, rounds=2, threads=1, folder=tmp_path)
    made = Participant(Variant("numpy", "numpy"), plan, first_step=1)
    made.worker = answers  # type: ignore[assignment]
    return made


def test_memory_is_that_of_training_before_anything_is_sampled_or_validated(tmp_path: Path) -> None:
    """That of a backend counted its validation and its samples, and that of own layers, which have none, did not."""
    one = participant(Answers(), tmp_path)
    one.take_turn(2)
    one.take_turn(2)
    one.request("save", to="anywhere")
    outcome = one.outcome()
    assert len(outcome.losses) == 4
    assert (outcome.peak_memory_bytes, outcome.device_memory_bytes) == (1000, 100)


def test_a_loss_that_is_not_finite_leaves_the_memory(tmp_path: Path) -> None:
    one = participant(Answers(loss=np.inf), tmp_path)
    one.take_turn(2)
    assert (one.outcome().not_finite_at, one.outcome().peak_memory_bytes) == (1, 1000)


@pytest.mark.parametrize(
    ("epsilon", "beta2", "notices"),
    [
        (
            1e-8,
            0.999,
            ["in effect, epsilon is 3.2e-07 at the first step and only gradually approaches 1e-08"],
        ),
        (1e-4, 0.99, ["in effect, epsilon is 0.001 at the first step and only gradually approaches 0.0001"]),
        (1e-4, 0.0, []),
    ],
)
def test_kerass_epsilon_is_stated_where_it_differs(epsilon: float, beta2: float, notices: list[str]) -> None:
    found = _epsilon_notices(OptimizerConfig(epsilon=epsilon, beta2=beta2))
    prefix = "its Adam adds epsilon before the bias correction; "
    assert list(found) == [prefix + notice for notice in notices]


@pytest.mark.parametrize("folder", [0.0], indirect=True)
def test_a_closed_worker_keeps_neither_its_thread_nor_its_model(folder: Path) -> None:
    """A process that is to train another model closes its worker, whose memory is then free."""
    gc.collect()
    gc.disable()
    before = set(threading.enumerate())
    try:
        closed = worker(folder, None)
        closed.train({"steps": 1})
        model = weakref.ref(closed.model)
        closed.close()
        del closed
        assert model() is None
        names = [thread.name for thread in threading.enumerate() if thread not in before]
        assert [name for name in names if name.startswith("charkit-prefetch")] == []
    finally:
        gc.enable()
