"""What every worker process reads, so that all of them start from the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from charkit.backend import Array
from charkit.config import RunConfig
from charkit.snapshot import Snapshot
from charkit.text.vocabulary import Vocabulary

_ARRAYS, _SETTINGS, _VOCABULARY = "start.safetensors", "start.json", "vocabulary.json"


@dataclass(frozen=True)
class ComparisonSpec:
    """Configuration, vocabulary, the model to start from, and the SHA-256 of the text."""

    config: RunConfig
    vocabulary: Vocabulary
    start: Snapshot
    sha256: str

    @property
    def first_step(self) -> int:
        """The number of the first step that is compared, counted from 1."""
        return self.start.step + 1

    def write(self, folder: Path) -> None:
        """Writes the spec into a folder that exists."""
        save_arrays(folder / _ARRAYS, self.start.arrays())
        (folder / _VOCABULARY).write_text(self.vocabulary.to_json(), "utf-8")
        settings = {"sha256": self.sha256, "config": self.config.model_dump(mode="json")}
        (folder / _SETTINGS).write_text(json.dumps(settings), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> ComparisonSpec:
        """Reads what ``write`` wrote."""
        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        return cls(
            RunConfig.model_validate(settings["config"]),
            Vocabulary.from_json((folder / _VOCABULARY).read_text("utf-8")),
            Snapshot.from_arrays(load_arrays(folder / _ARRAYS)),
            settings["sha256"],
        )


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a safetensors file."""
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)


def load_arrays(path: Path) -> dict[str, Array]:
    """Reads arrays by name from a safetensors file."""
    return dict(load_file(path))
