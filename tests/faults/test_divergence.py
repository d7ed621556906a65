"""R11: training that diverges stops with its step and a remedy, and leaves a checkpoint that is whole and finite.

Or it goes on, rightly, with finite numbers: a very sure model has a loss near zero, gradients near zero, and logits far
apart. The four backends behave alike.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import ConfigurationError, NotFiniteError
from charkit.runs.run import Run
from charkit.training.trainer import Trainer
from support import SMALL, SMALL_TEXT

BACKENDS = [
    "numpy",
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("tensorflow", marks=pytest.mark.tensorflow),
    pytest.param("jax", marks=pytest.mark.jax),
]
#: Adam moves each weight by about the learning rate, and this decay multiplies the matrices by -9,999 in each step:
#: float32, and bfloat16 with it, overflows within ten steps.
OVERFLOWING: dict[str, Any] = {"learning_rate": 100.0, "weight_decay": 100.0, "grad_clip": 0.0}
EVERY_STEP: dict[str, Any] = {"log_every": 5, "save_every": 2, "eval_every": 4, "threads": 1}


def _train(backend: str, **options: Any) -> charkit.TrainResult:
    settings = {**SMALL, **EVERY_STEP, "string": SMALL_TEXT, "run": "r", "max_steps": 60, **options}
    return charkit.train(backend=backend, **settings)


def _precisions(backend: str) -> list[str]:
    declared = charkit.plugins.find(backend).backend_class.precisions
    return [precision for precision in ("float32", "bfloat16") if precision in declared]


def _require_whole_and_finite(run: Path) -> int:
    """The step of the last checkpoint, which must be whole and hold finite numbers alone, as all records must."""
    checkpoint, _, notices = Run.open(run).checkpoint("latest")
    assert not notices
    assert all(np.isfinite(array).all() for array in checkpoint.snapshot.arrays().values())
    for line in (
        (run / "metrics.jsonl").read_text("utf-8").splitlines() if (run / "metrics.jsonl").exists() else ()
    ):
        record = json.loads(line, parse_constant=lambda word: pytest.fail(f"recorded {word}"))
        assert isfinite(record["loss"])
        assert isfinite(record["gradient_norm"])
    return checkpoint.snapshot.step


@pytest.mark.parametrize("backend", BACKENDS)
def test_overflow_stops_with_the_step_and_what_to_change(backend: str) -> None:
    for precision in _precisions(backend):
        with pytest.raises(NotFiniteError) as raised:
            _train(backend, precision=precision, overwrite=True, **OVERFLOWING)
        message = str(raised.value)
        start = r"the (.+) (?:is not finite|contains non-finite numbers) at step (\d+).*; the last good checkpoint of "
        found = re.match(start + r"'r' is at step (\d+); ", message)
        assert found, message
        assert int(found[2]) <= 12
        assert int(found[3]) == _require_whole_and_finite(Path("r"))
        assert message.endswith(
            "try a `learning_rate` below 100, a `weight_decay` below 100 or a `grad_clip` above 0, then "
            f"continue the run with `resume='r'` `backend={backend!r}`"
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_learning_rate_that_is_far_too_high_stays_finite_or_stops(backend: str) -> None:
    with pytest.raises(ConfigurationError, match=r"learning_rate must be at most 100; given 1000000"):
        _train(backend, learning_rate=1e6)
    assert not Path("r").exists()
    for precision in _precisions(backend):
        with suppress(NotFiniteError):  # either is right; which, the last bits decide
            result = _train(backend, precision=precision, overwrite=True, learning_rate=100.0, grad_clip=0.0)
            assert result.loss is not None
            assert isfinite(result.loss)
        _require_whole_and_finite(Path("r"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", ["b" + "a" * 2000, "ab" * 1000])
def test_a_very_sure_model_goes_on(backend: str, text: str) -> None:
    for precision in _precisions(backend):
        result = _train(
            backend, string=text, precision=precision, overwrite=True, learning_rate=0.05, grad_clip=0.0
        )
        assert result.step == 60
        assert result.loss is not None
        assert 0 <= result.loss < 0.05
        assert _require_whole_and_finite(Path("r")) == 60
        sampled = charkit.load_run("r", backend=backend, threads=1).sample(text[1:3], length=4, seed=0)[0]
        assert sampled == text[1:7]


def test_weights_that_overflow_while_the_loss_does_not_are_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a step is that before its update, so that an update can be seen in the weights alone."""
    plant = charkit.CharRNN.snapshot

    def snapshot(model: charkit.CharRNN) -> Any:
        taken = plant(model)
        if model.step == 6:
            taken.weights["output.bias"][0] = np.nan
        return taken

    monkeypatch.setattr(charkit.CharRNN, "snapshot", snapshot)
    with pytest.raises(
        NotFiniteError,
        match=r"the array output.bias contains .* at step 6, .*the last good checkpoint of .* is at step 4",
    ):
        _train("numpy")
    assert _require_whole_and_finite(Path("r")) == 4


def test_a_loop_that_does_not_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_check_finite", lambda *_arguments: None)
    with pytest.raises(NotFiniteError):  # the save refuses what the loop let through
        _train("numpy", save_every="1h", eval_every=100, validation_share=0.0, **OVERFLOWING)
    with pytest.raises(pytest.fail.Exception, match="recorded NaN"):
        _require_whole_and_finite(Path("r"))
