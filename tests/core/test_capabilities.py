"""A setting that needs a capability is refused where the backend does not declare it; nothing is ignored."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.capabilities import CAPABILITIES, required
from charkit.config import SECTIONS, ModelConfig, OptimizerConfig
from charkit.errors import BackendError, ConfigurationError
from charkit.plugins import Plugin, backend_creation
from charkit.runs.run import Run
from charkit.weights import decays, initial_weights, weight_shapes
from charkit_numpy.backend import NumpyBackend
from support import SMALL

MODEL = ModelConfig(vocabulary_size=5, lstm_size=4, num_layers=2)
DECAYING = OptimizerConfig(weight_decay=0.01)
SHAPE: dict[str, Any] = {"batch_size": 2, "num_steps": 3}
LACKS = (
    "optimizer.weight_decay 0.01 needs the capability weight_decay; backend 'older' declares none; "
    "no other installed backend supports it"
)


class Older(NumpyBackend):
    """A backend that declares nothing, as a plugin of contract 1.0 does."""

    name = "older"
    capabilities = frozenset()

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        assert optimizer.weight_decay == 0, "it would be ignored"
        return super().build_optimizer(optimizer)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the trial of every installed backend, which an error's advice is made from."""
    monkeypatch.setattr(backend_creation, "probe_all", lambda _plugins: [])


@pytest.fixture
def older() -> Older:
    return Older(precision="float32", device="cpu", threads=1)


def batch() -> tuple[Any, Any]:
    symbols = np.random.default_rng(0).integers(0, 5, (2, 4)).astype(np.int32)
    return symbols[:, :-1].copy(), symbols[:, 1:].copy()


def test_every_capability_names_a_setting_that_needs_nothing_by_default() -> None:
    for need in CAPABILITIES.values():
        assert not need.by(SECTIONS[need.section].model_fields[need.key].default)
    assert required(model=MODEL, optimizer=OptimizerConfig()) == {}
    assert required(model=MODEL, optimizer=DECAYING) == {"weight_decay": "optimizer.weight_decay 0.01"}
    assert required(model=MODEL) == {}


def test_it_is_refused_before_the_backend_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unmade(Older):
        def __init__(self, **_: Any) -> None:
            raise AssertionError("it was made")

    plugin = Plugin(EntryPoint("older", "nowhere", "charkit.backends"), "charkit-older", "1.0")
    monkeypatch.setattr(Plugin, "backend_class", Unmade)
    monkeypatch.setattr(backend_creation, "find", lambda name: plugin)
    with pytest.raises(BackendError) as refusal:
        charkit.CharRNN(5, weight_decay=0.01, backend="older")
    assert str(refusal.value) == LACKS


def test_a_backend_that_is_made_is_refused_too(older: Older) -> None:
    with pytest.raises(BackendError) as refusal:
        charkit.CharRNN(5, weight_decay=0.01, backend=older)
    assert str(refusal.value) == LACKS
    with pytest.raises(BackendError) as refusal:
        charkit.CharRNN.from_config(MODEL, DECAYING, older, **SHAPE)
    assert str(refusal.value) == LACKS


def test_without_training_it_scores_and_predicts_but_makes_no_step(older: Older) -> None:
    network = charkit.CharRNN.from_config(MODEL, DECAYING, older, **SHAPE, training=False)
    plain = charkit.CharRNN.from_config(MODEL, OptimizerConfig(), older, **SHAPE)
    start = network.initial_state(2)
    assert np.array_equal(network.nats(*batch(), start)[0], plain.nats(*batch(), plain.initial_state(2))[0])
    gradients, _, _ = network.gradients(*batch())
    for step in (lambda: network.train_step(*batch()), lambda: network.apply_gradients(gradients)):
        with pytest.raises(BackendError) as refusal:
            step()
        assert str(refusal.value) == LACKS
    assert network.step == 0


def test_matrices_decay_and_biases_do_not() -> None:
    shapes = weight_shapes(MODEL)
    assert {name for name in shapes if decays(name)} == {
        name for name, shape in shapes.items() if len(shape) == 2
    }


def test_a_step_decays_by_the_share_of_the_weights_before() -> None:
    models = [charkit.CharRNN(5, **SHAPE, weight_decay=decay, precision="float64") for decay in (0.0, 0.5)]
    assert [model.optimizer_config.weight_decay for model in models] == [0.0, 0.5]
    for model in models:
        model.train_step(*batch(), learning_rate=0.1)
    before, (without, with_decay) = initial_weights(models[0].config, 0), [one.weights() for one in models]
    for name, start in before.items():
        expected = without[name] - (0.1 * 0.5 * start if decays(name) else 0.0)
        np.testing.assert_allclose(with_decay[name], expected, rtol=1e-13, atol=1e-16)
    for ours, theirs in zip(models[0].moments(), models[1].moments(), strict=True):
        assert all(np.array_equal(ours[name], theirs[name]) for name in before)


@pytest.mark.parametrize("value", [-0.1, 101, float("nan")])
def test_its_range(value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^weight_decay must be "):
        charkit.CharRNN(5, weight_decay=value)


def test_a_run_from_before_weight_decay_loads_and_resumes_to_the_bit(text_file: Path) -> None:
    unbroken, old = (
        charkit.train(text_file, run=name, max_steps=steps, threads=1, **SMALL)
        for name, steps in (("unbroken", 8), ("old", 4))
    )
    _forget_weight_decay(old.run)
    assert Run.open(old.run).config.optimizer.weight_decay == 0
    assert charkit.load_run(old.run, checkpoint="latest").evaluate().loss == old.validation_loss
    charkit.train(resume=old.run, max_steps=8, threads=1)
    ours, theirs = (charkit.load_run(one.run, checkpoint="latest").model.weights() for one in (old, unbroken))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def _forget_weight_decay(run: Path) -> None:
    """Rewrites a run as a charkit without weight decay has written it, manifests included."""
    config = json.loads((run / "config.json").read_text("utf-8"))
    del config["config"]["optimizer"]["weight_decay"]
    (run / "config.json").write_text(json.dumps(config), "utf-8")
    for folder in (run / "checkpoints").iterdir():
        progress = json.loads((folder / "progress.json").read_text("utf-8"))
        del progress["optimizer"]["weight_decay"]
        (folder / "progress.json").write_text(json.dumps(progress), "utf-8")
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        for path in (run / "config.json", folder / "progress.json"):
            content = path.read_bytes()
            manifest[path.name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_weight_decay_is_resumed_with_the_run(text_file: Path) -> None:
    settings = {**SMALL, "weight_decay": 0.3, "learning_rate": 0.05}
    unbroken = charkit.train(text_file, max_steps=8, threads=1, **settings)
    begun = charkit.train(text_file, max_steps=4, threads=1, **settings)
    charkit.train(resume=begun.run, max_steps=8, threads=1)
    resumed, whole = (
        charkit.load_run(one.run, checkpoint="latest").model.weights() for one in (begun, unbroken)
    )
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
