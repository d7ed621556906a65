"""A network in one file: a safetensors file of its snapshot, with its configuration among the metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors.numpy import save

from charkit.argument_checks import integer
from charkit.config import ModelConfig, OptimizerConfig, Precision, check_choice
from charkit.errors import CharkitError, NotFiniteError, RunError
from charkit.input_checks import InputChecker
from charkit.runs.files_by_path import replace_file
from charkit.snapshot import Snapshot
from charkit.strict_json import parse_json
from charkit.tensor_file import TensorHeader, first_not_finite
from charkit.version import version

#: The key of the metadata, and the version of what it holds.
_KEY, _FORMAT = "charkit", 1


@dataclass(frozen=True)
class NetworkFile:
    """The content of a file: everything that a CharRNN is made of, except its backend."""

    model: ModelConfig
    optimizer: OptimizerConfig
    batch_size: int
    num_steps: int
    seed: int
    precision: str
    snapshot: Snapshot

    def write(self, path: Path) -> None:
        """Replaces the file in one step. Raises StorageError, and NotFiniteError for arrays that are not finite."""
        self.check()
        settings: dict[str, Any] = {
            "format": _FORMAT,
            "model": self.model.model_dump(),
            "optimizer": self.optimizer.model_dump(),
            **{name: getattr(self, name) for name in ("batch_size", "num_steps", "seed", "precision")},
        }
        arrays = {name: np.asarray(array, order="C") for name, array in self.snapshot.arrays().items()}
        replace_file(path, save(arrays, {_KEY: json.dumps(settings)}))

    @classmethod
    def read(cls, path: Path) -> NetworkFile:
        """Reads what ``write`` wrote; nothing in it is executed. Raises RunError for anything else."""
        try:
            content = path.read_bytes()
        except OSError as error:
            why = error.strerror or error
            raise RunError(
                f"can't read {str(path)!r}: {why}; give the path of a file that CharRNN.save() wrote"
            ) from error
        try:
            header = TensorHeader.parse(content)
            settings = parse_json(header.metadata[_KEY])
            found_format = integer("format", settings["format"], 1)
            found = None if found_format > _FORMAT else cls._of(header, content, settings)
        except (KeyError, TypeError, ValueError, OverflowError, CharkitError) as error:
            missing = isinstance(error, KeyError)  # whose text is the key alone
            reason = f"it lacks the key {error}" if missing else " ".join(str(error).split())
            raise RunError(
                f"{str(path)!r} was not written by CharRNN.save(), or is damaged: {reason}; to load a run, use "
                "charkit.load_run()"
            ) from error
        if found is None:
            raise RunError(
                f"{str(path)!r} is in format {found_format}, but charkit {version()} reads format {_FORMAT}; use a "
                "later version of charkit"
            )
        return found

    @classmethod
    def _of(cls, header: TensorHeader, content: bytes, settings: Any) -> NetworkFile:
        """What a file of this format holds, checked. Raises the errors that ``read`` catches."""
        arrays = {name: header.array(content, name) for name in header.entries}
        integer("step", arrays["step"].item(), 0)
        found = cls(
            model=ModelConfig(**settings["model"]),
            optimizer=OptimizerConfig(**settings["optimizer"]),
            batch_size=integer("batch_size", settings["batch_size"], 1),
            num_steps=integer("num_steps", settings["num_steps"], 1),
            seed=integer("seed", settings["seed"], 0),
            precision=_precision(settings["precision"]),
            snapshot=Snapshot.from_arrays(arrays),
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises InputError for arrays that are not those of the model, and NotFiniteError for nan and infinity."""
        InputChecker(self.model).snapshot(self.snapshot, self.batch_size)
        wrong = first_not_finite(self.snapshot.arrays().items())
        if wrong:
            raise NotFiniteError(f"the array {wrong} contains non-finite numbers")


def _precision(stored: str) -> str:
    check_choice("precision", stored, get_args(Precision))
    return stored
