"""What a checkpoint holds, and the check of everything that is read from one.

A manifest shows that files are as they were written, not who wrote them: whoever changes an array can change its hash
too. So names, shapes, types and ranges are checked against the run's configuration, whatever the manifest says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from charkit.backend import State, float_dtype
from charkit.config import OptimizerConfig, RunConfig, TrainingConfig, first_problem
from charkit.errors import BackendError, NotFiniteError, RunError
from charkit.snapshot import Snapshot, moments_from
from charkit.strict_json import parse_json
from charkit.tensor_file import LENGTH_BYTES, MOST_HEADER_BYTES, first_not_finite, read_arrays
from charkit.weights import weight_shapes

PROGRESS = "progress.json"
MANIFEST = "manifest.json"
#: The files of arrays by what they hold.
ARRAY_FILES = {name: f"{name}.safetensors" for name in ("model", "optimizer", "state")}
#: Files of the run directory that a checkpoint means nothing without.
COMMON = ("config.json", "vocabulary.json")
#: What a checkpoint consists of, besides its manifest.
FILES = (*ARRAY_FILES.values(), PROGRESS)
#: No run takes so many steps; with it every product of two such numbers is exact.
MOST_STEPS = 2**53 - 1


class SchedulePlan(BaseModel):
    """Where a schedule stands and ends: at ``step``, ``fraction`` of it is done, and at ``last_step`` all of it.

    Between the two it advances linearly in steps. The learning rate of every step follows from this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: int = Field(ge=0, le=MOST_STEPS)
    fraction: float = Field(ge=0, le=1)
    last_step: int = Field(ge=0, le=MOST_STEPS)


class TrainingProgress(BaseModel):
    """How far training has come. With the seed and the configuration this determines everything that comes next."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    step: int = Field(ge=0, le=MOST_STEPS)
    #: Of the steps since the last report: how many, the sum of their losses in nats, and the last one's norm.
    unreported_steps: int = Field(0, ge=0)
    unreported_loss: float = 0.0
    gradient_norm: float = Field(0.0, ge=0)
    #: The session was stopped while it scored the validation split of this step; the next one starts with it.
    validation_due: bool = False
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    best_step: int | None = Field(None, ge=0)
    #: What patience counts: the lowest loss at a step that is due for validation, and how many came after it.
    lowest_validation_loss: float | None = None
    validations_without_gain: int = Field(0, ge=0, le=MOST_STEPS)
    elapsed_seconds: float = Field(0.0, ge=0)
    #: The plan that a session with a time limit made from its speed; without one the settings give the schedule's end.
    plan: SchedulePlan | None = None
    #: The plan is a first estimate, from the speed of earlier sessions, which no session has confirmed or replaced yet.
    plan_is_estimate: bool = False
    #: The current settings, which may differ from those that the run was made with.
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_charkit(cls, fields: Any) -> Any:
        """Takes the best loss for the lowest one where there is none, as earlier versions did."""
        if isinstance(fields, dict) and "lowest_validation_loss" not in fields:
            return {**fields, "lowest_validation_loss": fields.get("best_validation_loss")}
        return fields

    @model_validator(mode="after")
    def _looks_back_only(self) -> Self:
        for name in ("unreported_steps", "best_step"):
            if (getattr(self, name) or 0) > self.step:
                raise ValueError(f"{name} {getattr(self, name)} is beyond step {self.step}")
        return self


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to continue from a step."""

    snapshot: Snapshot
    progress: TrainingProgress


class ManifestEntry(BaseModel):
    """What a manifest says of one file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def check_savable(checkpoint: Checkpoint) -> None:
    """Raises NotFiniteError for an array that is not finite, and BackendError for one of a wrong type.

    What is saved here is what ``parse_checkpoint`` takes, so that no run is written that can't be read again.
    """
    snapshot, precision = checkpoint.snapshot, checkpoint.progress.training.precision
    arrays = {name: array for name, array in snapshot.arrays().items() if name != "step"}
    for name, array in arrays.items():
        if array.dtype != float_dtype(precision):
            raise BackendError(
                f"the array {name} at step {snapshot.step:,} has the type {array.dtype}, but in {precision} the "
                f"backend's numpy() must return {float_dtype(precision)}; check the backend with `charkit.verify`"
            )
    wrong = first_not_finite(arrays.items())
    if wrong is not None:
        raise NotFiniteError(
            f"the array {wrong} contains non-finite numbers at step {snapshot.step:,}, so the checkpoint was not saved"
        )


def parse_manifest(content: bytes) -> dict[str, ManifestEntry]:
    """What a manifest says of each file. Raises ValueError, with one sentence, for anything that is no manifest."""
    stored = parse_json(content)
    if not isinstance(stored, dict) or stored.keys() != {*FILES, *COMMON}:
        raise ValueError("it lists the wrong files")
    try:
        return {name: ManifestEntry.model_validate(entry) for name, entry in stored.items()}
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


def most_bytes(config: RunConfig) -> int:
    """More bytes than any file of arrays in a run of this configuration has."""
    numbers = (sum(prod(shape) for shape in shapes.values()) for shapes in _shapes(config).values())
    return LENGTH_BYTES + MOST_HEADER_BYTES + 8 * max(numbers)


def parse_checkpoint(read: Callable[[str], bytes], config: RunConfig) -> Checkpoint:
    """A checkpoint of a run of this configuration; ``read`` gives the content of a file by its name.

    Raises RunError, with one sentence that names the file, for content that charkit does not write.
    """
    progress = _parsed(PROGRESS, read, lambda content: parse_progress(content, config))
    dtype = float_dtype(progress.training.precision)
    shapes = _shapes(config)
    arrays = {
        what: _parsed(file, read, lambda content, what=what: read_arrays(content, shapes[what], dtype))  # type: ignore[misc]
        for what, file in ARRAY_FILES.items()
    }
    moments = moments_from(arrays["optimizer"])
    for name, array in moments.exp_avg_sq.items():
        if array.size and array.min() < 0:
            raise RunError(
                f"{ARRAY_FILES['optimizer']}: exp_avg_sq.{name}, a mean of squares, contains negative numbers"
            )
    state = State(arrays["state"]["hidden"], arrays["state"]["cell"])
    return Checkpoint(Snapshot(arrays["model"], moments, state, progress.step), progress)


def _parsed(name: str, read: Callable[[str], bytes], parse: Callable[[bytes], Any]) -> Any:
    content = read(name)
    try:
        return parse(content)
    except ValueError as error:
        raise RunError(f"{name}: {error}") from error


def parse_progress(content: bytes, config: RunConfig) -> TrainingProgress:
    """The progress of a run of this configuration. Raises ValueError, with one sentence, for anything else."""
    stored = parse_json(content)
    try:
        progress = TrainingProgress.model_validate(stored)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
    for key in ("seed", "initialization"):
        if getattr(progress.training, key) != getattr(config.training, key):
            raise ValueError(f"training.{key} does not match config.json")
    return progress


def _shapes(config: RunConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """The arrays of each file, by what it holds."""
    model = config.model
    weights = weight_shapes(model)
    state = (model.num_layers, config.data.batch_size, model.lstm_size)
    return {
        "model": weights,
        "optimizer": {
            f"{moment}.{name}": shape
            for moment in ("exp_avg", "exp_avg_sq")
            for name, shape in weights.items()
        },
        "state": {"hidden": state, "cell": state},
    }
