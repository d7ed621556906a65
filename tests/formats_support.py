"""Runs and state dicts to export and import, and the examples run where charkit can't be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import State
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig, RunConfig
from charkit.plugins import create
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.run import Run
from charkit.snapshot import Snapshot
from charkit.text.vocabulary import Vocabulary
from charkit.weights import weight_shapes
from support import SMALL_TEXT

Weights = dict[str, NDArray[Any]]
#: 1,000 characters of a text that a run's vocabulary knows.
THOUSAND = (SMALL_TEXT * 2)[:1000]
_ALONE = """
import runpy, sys
for name in {blocked}:
    sys.modules[name] = None  # importing it raises
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def random_weights(model: ModelConfig, dtype: str = "float32") -> Weights:
    """Weights of which no two gates, layers or biases are alike, large enough that each matters."""
    generator = np.random.default_rng(7)
    return {
        name: generator.normal(0, 0.4, shape).astype(dtype) for name, shape in weight_shapes(model).items()
    }


def make_run(
    path: Path,
    *,
    vocabulary: Vocabulary | None = None,
    num_layers: int = 2,
    lstm_size: int = 12,
    precision: str = "float32",
    text: str | None = None,
) -> Run:
    """Makes a run of random weights at step 0, which names a text that may or may not be there."""
    vocabulary = vocabulary or Vocabulary.of_text(SMALL_TEXT)
    config = RunConfig.model_validate(
        {
            "model": {
                "vocabulary_size": vocabulary.size,
                "lstm_size": lstm_size,
                "num_layers": num_layers,
            },
            "data": {
                "text": [str(Path(text).resolve())] if text else [],
                "vocabulary": vocabulary.kind,
                "batch_size": 2,
            },
            "training": {"precision": precision},
        }
    )
    dtype = "float64" if precision == "float64" else "float32"
    weights = random_weights(config.model, dtype)
    progress = TrainingProgress(step=0, optimizer=config.optimizer, training=config.training)
    first = Checkpoint(Snapshot.untrained(weights, batch_size=2), progress)
    return Run.create(path, config, vocabulary, "0" * 64, first)


def weights_of(run: Run) -> Weights:
    """The canonical weights of the run's latest checkpoint."""
    return run.checkpoint("latest")[0].snapshot.weights


def logits_of(
    run: Run, symbols: NDArray[np.int32], state: State[Any] | None = None, precision: str = "float64"
) -> tuple[NDArray[Any], State[Any]]:
    """charkit's logits (batch, time, vocabulary) on symbols (batch, time), and the state after them."""
    engine = create("numpy", precision=precision, device=None, threads=1)
    model = CharRNN.from_config(
        run.config.model, OptimizerConfig(), engine, batch_size=1, num_steps=1, weights=weights_of(run)
    )
    carried = model.initial_state(len(symbols), arrays=state)
    steps = []
    for time in range(symbols.shape[1]):
        logits, carried = model.predict(np.ascontiguousarray(symbols[:, time : time + 1]), carried)
        steps.append(logits)
    return np.stack(steps, axis=1), model.state_arrays(carried)


def apart(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest difference as a share of the largest number."""
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(ours)))


def documented(number: int) -> str:
    """A Python program of the page on exporting, counted from 0."""
    page = (Path(__file__).parents[1] / "docs" / "exporting.md").read_text("utf-8")
    return page.split("```python\n")[1 + number].partition("```")[0]


def run_example(
    path: Path, *arguments: str, blocked: tuple[str, ...] = (), folder: Path | None = None
) -> str:
    """Runs a program in a process of its own, by default in another folder, where charkit can't be imported."""
    names = ("charkit", "charkit_cli", "charkit_formats", "charkit_numpy", "charkit_torch", *blocked)
    child = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", _ALONE.format(blocked=names), str(path.resolve()), *arguments],
        capture_output=True,
        encoding="utf-8",
        cwd=folder or Path.cwd().parent,
        check=False,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.removesuffix("\n")
