"""The start of a comparison on disk: what every child reads, so that all begin from the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from charkit.backend import Array, Moments, State
from charkit.charrnn import CharRNN
from charkit.checkpoint import Checkpoint
from charkit.comparison.control import moved_weights
from charkit.config import RunConfig
from charkit.vocabulary import Vocabulary

_ARRAYS, _SETTINGS, _VOCABULARY = "start.safetensors", "start.json", "vocabulary.json"


@dataclass(frozen=True)
class Snapshot:
    """A model between two steps: its weights, Adam's moments, the carried state, and the step count."""

    weights: dict[str, Array]
    moments: Moments[Array]
    state: State[Array]
    step: int

    @classmethod
    def of(cls, model: CharRNN) -> Snapshot:
        """Copies a model's arrays out."""
        return cls(model.weights(), model.moments(), model.state(), model.step)

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Snapshot:
        """The arrays of a run's checkpoint."""
        return cls(checkpoint.weights, checkpoint.moments, checkpoint.state, checkpoint.progress.step)

    def moved(self, precision: str, seed: int, number: int) -> Snapshot:
        """The snapshot with its weights moved by one rounding unit, as control ``number`` goes on from it."""
        return replace(self, weights=moved_weights(self.weights, precision, seed, number, self.step))

    def into(self, model: CharRNN) -> None:
        """Copies the arrays into a model."""
        model.load_weights(self.weights)
        model.load_moments(self.moments.exp_avg, self.moments.exp_avg_sq, step=self.step)
        model.load_state(self.state)

    def named(self) -> dict[str, Array]:
        """Every array by a name of its own."""
        return {
            **self.weights,
            **{f"exp_avg.{name}": array for name, array in self.moments.exp_avg.items()},
            **{f"exp_avg_sq.{name}": array for name, array in self.moments.exp_avg_sq.items()},
            "state.hidden": self.state.hidden,
            "state.cell": self.state.cell,
            "step": np.asarray(self.step),
        }

    @classmethod
    def from_named(cls, arrays: Mapping[str, Array]) -> Snapshot:
        """The inverse of ``named``."""

        def group(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}

        weights = {name: array for name, array in arrays.items() if name.startswith(("lstm.", "output."))}
        moments = Moments(group("exp_avg."), group("exp_avg_sq."))
        return cls(weights, moments, State(arrays["state.hidden"], arrays["state.cell"]), int(arrays["step"]))


@dataclass(frozen=True)
class Job:
    """Configuration, vocabulary and the arrays to start from."""

    config: RunConfig
    vocabulary: Vocabulary
    start: Snapshot
    sha256: str

    def write(self, folder: Path) -> None:
        """Writes the job into a folder that exists."""
        save_arrays(folder / _ARRAYS, self.start.named())
        (folder / _VOCABULARY).write_text(self.vocabulary.to_json(), "utf-8")
        settings = {"sha256": self.sha256, "config": self.config.model_dump(mode="json")}
        (folder / _SETTINGS).write_text(json.dumps(settings), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Reads what ``write`` wrote."""
        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        return cls(
            RunConfig.model_validate(settings["config"]),
            Vocabulary.from_json((folder / _VOCABULARY).read_text("utf-8")),
            Snapshot.from_named(load_arrays(folder / _ARRAYS)),
            settings["sha256"],
        )


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a safetensors file."""
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)


def load_arrays(path: Path) -> dict[str, Array]:
    """Reads arrays by name from a safetensors file."""
    return dict(load_file(path))
