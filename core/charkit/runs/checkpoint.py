"""Checkpoints: arrays and progress of one step, with a manifest that shows whether they are whole.

safetensors alone is neither durable nor checked, so the manifest holds size and SHA-256 of every file
and is written last. A reader takes the newest checkpoint whose manifest matches its files, and skips the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from charkit.backend import Array, State
from charkit.config import OptimizerConfig, TrainingConfig
from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.atomic_files import to_json, writing
from charkit.runs.debris import is_left_over, restore_old_folders, temporary_of
from charkit.runs.open_folder import OpenFolder
from charkit.snapshot import Snapshot, moment_arrays, moments_from

#: The folder of a run's checkpoints.
CHECKPOINTS = "checkpoints"
#: Files of the run directory that a checkpoint means nothing without.
COMMON = ("config.json", "vocabulary.json")
#: What a checkpoint consists of, besides its manifest.
FILES = ("model.safetensors", "optimizer.safetensors", "state.safetensors", "progress.json")
#: All files in the folder of a checkpoint.
CONTENTS = frozenset({*FILES, "manifest.json"})
#: How often a reader looks for a whole checkpoint, while those that it found are removed by a training process.
LOOKS = 10
#: Whole checkpoints that are kept besides the best one.
KEEP_NEWEST = 2
Which = Literal["best", "latest"]


class SchedulePlan(BaseModel):
    """Where a schedule stands and ends: at ``step``, ``fraction`` of it is done, and at ``last_step`` all of it.

    Between the two it advances linearly in steps. The learning rate of every step follows from this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=0)
    fraction: float = Field(ge=0, le=1)
    last_step: int = Field(ge=0)


class TrainingProgress(BaseModel):
    """How far training has come. With the seed and the configuration this determines everything that comes next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = Field(ge=0)
    #: Of the steps since the last report: how many, the sum of their losses in nats, and the last one's norm.
    unreported_steps: int = 0
    unreported_loss: float = 0.0
    gradient_norm: float = 0.0
    #: The session was stopped while it scored the validation split of this step; the next one starts with it.
    validation_due: bool = False
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    best_step: int | None = None
    validations_without_gain: int = 0
    elapsed_seconds: float = 0.0
    #: The plan that a session with a time limit made from its speed; without one the settings give the schedule's end.
    plan: SchedulePlan | None = None
    #: The current settings, which may differ from those that the run was made with.
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to continue from a step."""

    snapshot: Snapshot
    progress: TrainingProgress


def checkpoint_name(step: int) -> str:
    """The folder name of a step's checkpoint."""
    return f"{step:08d}"


def step_of(name: str) -> int | None:
    """The step of a checkpoint's folder; None for a name that ``checkpoint_name`` does not give."""
    if not re.fullmatch("[0-9]{8,18}", name):
        return None
    step = int(name)
    return step if checkpoint_name(step) == name else None


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint in one step and returns its folder. Raises StorageError if the disk is full.

    One of the same step, which a stopped validation or a session that was cut off left, is replaced only at the end.
    """
    path = run / CHECKPOINTS / checkpoint_name(checkpoint.progress.step)
    snapshot = checkpoint.snapshot
    arrays = {
        "model": snapshot.weights,
        "optimizer": moment_arrays(snapshot.moments),
        "state": snapshot.state._asdict(),
    }
    manifest: dict[str, dict[str, int | str]] = {}
    with (
        writing(path),
        _checkpoints(run, make=True) as (opened, checkpoints),
        checkpoints.new_folder(path.name, existing="replace") as folder,
    ):

        def write(name: str, content: bytes) -> None:
            folder.write(name, content)
            manifest[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}

        for name, group in arrays.items():
            write(f"{name}.safetensors", save(_contiguous(group)))  # one in memory at a time
        write("progress.json", to_json(checkpoint.progress.model_dump(mode="json")))
        manifest = dict(sorted(manifest.items())) | {name: opened.fingerprint(name) for name in COMMON}
        folder.write("manifest.json", to_json(manifest))
    return path


def _contiguous(arrays: dict[str, Any]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


@contextmanager
def _checkpoints(run: Path, *, make: bool = False) -> Iterator[tuple[OpenFolder, OpenFolder]]:
    """The run's folder and that of its checkpoints, opened."""
    with OpenFolder.at(run) as opened:
        if make:
            opened.ensure_folder(CHECKPOINTS)
        with opened.folder(CHECKPOINTS) as checkpoints:
            yield opened, checkpoints


def damage(folder: Path, arrays_limit: int = limits.ARRAYS) -> str | None:
    """What is wrong with a checkpoint, as a sentence; None if its manifest matches its files.

    No file is read that has more than ``arrays_limit`` bytes.
    """
    try:
        with (
            _checkpoints(folder.parent.parent) as (run, checkpoints),
            checkpoints.folder(folder.name) as opened,
        ):
            return _damage(run, opened, arrays_limit)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except RunError as error:
        return str(error)
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        return f"its manifest can't be read ({error})"


def _damage(run: OpenFolder, folder: OpenFolder, arrays_limit: int) -> str | None:
    manifest = json.loads(folder.read("manifest.json", limits.MANIFEST))
    if manifest.keys() != {*FILES, *COMMON}:
        return "its manifest names other files than it should"
    for name, expected in manifest.items():
        place = run if name in COMMON else folder
        status = place.status(name)
        if status is None:
            return f"{name} is missing"
        size = status.st_size
        if size != expected["bytes"] or size > arrays_limit or place.fingerprint(name) != expected:
            return f"{name} is not what the manifest says"
    step = _step_inside(folder)
    if step != step_of(folder.path.name):
        return f"it has the name of another step than its own, {step}"
    return None


def checkpoint_names(run: Path) -> list[str]:
    """The names of a run's checkpoints, whole or not, the newest first; what charkit doesn't call so is none."""
    try:
        with _checkpoints(run) as (_, checkpoints):
            steps = [step_of(name) for name in checkpoints.names() if checkpoints.has_folder(name)]
    except FileNotFoundError:
        return []
    return [checkpoint_name(step) for step in sorted((s for s in steps if s is not None), reverse=True)]


def whole_checkpoints(run: Path, trusted: Container[str] = ()) -> Iterator[Path]:
    """The checkpoints whose manifest matches their files, the newest first; the trusted names are not read."""
    for name in checkpoint_names(run):
        if name in trusted or damage(run / CHECKPOINTS / name) is None:
            yield run / CHECKPOINTS / name


def find_checkpoint(
    run: Path, which: Which, arrays_limit: int = limits.ARRAYS
) -> tuple[Path, tuple[str, ...]]:
    """The folder of the best or the latest whole checkpoint, and notices about those that were skipped.

    Raises RunError where the run has no whole checkpoint.
    """
    seen: tuple[str | None, list[str]] | None = None
    for _ in range(LOOKS):  # a training process may have removed what was listed before it was looked at
        best = pointed_at(run, "best") if which == "best" else None
        names = checkpoint_names(run)
        notices = [] if best is None or best in names else [f"the best checkpoint, {best}, is missing"]
        found = None
        for name in sorted(names, key=lambda name: name != best):  # the best, then the newest
            wrong = damage(run / CHECKPOINTS / name, arrays_limit)
            if wrong is None:
                found = run / CHECKPOINTS / name
                break
            notices.append(f"skipped checkpoint {name}: {wrong}")
        if (found is not None and not notices) or seen == (best, names):
            break
        seen = (best, names)
    if found is None:
        what = "; ".join(notices) or "there is none"
        raise RunError(f"{str(run)!r} has no whole checkpoint ({what}); nothing of it can be used")
    return found, tuple(notices)


def load_checkpoint(folder: Path, arrays_limit: int = limits.ARRAYS) -> Checkpoint:
    """Reads a checkpoint. Raises RunError where its files are not those of one."""
    try:
        with (
            _checkpoints(folder.parent.parent) as (_, checkpoints),
            checkpoints.folder(folder.name) as opened,
        ):

            def arrays(name: str) -> dict[str, Array]:
                return load(opened.read(f"{name}.safetensors", arrays_limit))

            weights, moments, state = arrays("model"), moments_from(arrays("optimizer")), arrays("state")
            progress = TrainingProgress.model_validate_json(opened.read("progress.json", limits.PROGRESS))
        snapshot = Snapshot(weights, moments, State(state["hidden"], state["cell"]), progress.step)
        return Checkpoint(snapshot, progress)
    except (OSError, SafetensorError, KeyError, ValidationError, RunError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"checkpoint {str(folder)!r} is not one that this charkit can read: {reason}"
        ) from error


def point(run: Path, which: Which, step: int) -> None:
    """Points ``best`` or ``latest`` at a step: a little JSON, since links don't travel everywhere."""
    content = to_json({"checkpoint": checkpoint_name(step), "step": step})
    with writing(run / which), OpenFolder.at(run) as opened:
        opened.replace(which, content)


def pointed_at(run: Path, which: Which) -> str | None:
    """The name of the checkpoint that ``best`` or ``latest`` points at, or None. Raises RunError."""
    try:
        with OpenFolder.at(run) as opened:
            name = str(json.loads(opened.read(which, limits.POINTER))["checkpoint"])
        if step_of(name) is None:
            raise ValueError(f"{name[:40]!r} is no checkpoint's name")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RunError) as error:
        raise RunError(
            f"{str(run / which)!r} can't be read ({error}); remove it to use the newest"
        ) from error
    return name


def repair_best(run: Path, progress: TrainingProgress) -> None:
    """Points ``best`` at the best step of the progress, in case a crash came between saving and pointing."""
    step = progress.best_step
    if step is None or pointed_at(run, "best") == checkpoint_name(step):
        return
    if checkpoint_name(step) in checkpoint_names(run):
        point(run, "best", step)


def prune(run: Path, written: Container[str] = ()) -> None:
    """Removes all checkpoints but the best and the newest whole ones, and what a crash left half written.

    ``written`` are the names of those that this process wrote: they are durable, and are not read again. Whatever
    charkit did not write stays, as does a checkpoint under the name of another step.
    """
    keep = {folder.name for folder in islice(whole_checkpoints(run, written), KEEP_NEWEST)}
    keep.add(pointed_at(run, "best") or "")
    with _checkpoints(run) as (_, checkpoints):
        for name in checkpoints.names():
            if name not in keep and (_is_own(checkpoints, name) or _is_left_over(checkpoints, name)):
                with suppress(OSError):  # a file that a reader holds may go at the next save
                    checkpoints.remove(name)


def restore_replaced(run: Path) -> None:
    """Gives a checkpoint its name back that a process was replacing when it was killed."""
    with suppress(FileNotFoundError), writing(run / CHECKPOINTS), _checkpoints(run) as (_, checkpoints):
        restore_old_folders(checkpoints, CONTENTS)


def _is_own(checkpoints: OpenFolder, name: str) -> bool:
    """Whether an entry is a checkpoint, damaged or not, that has the name of its step."""
    if step_of(name) is None or not checkpoints.has_folder(name):
        return False
    with checkpoints.folder(name) as folder:
        step = _step_inside(folder)
    return step is None or step == step_of(name)


def _is_left_over(checkpoints: OpenFolder, name: str) -> bool:
    return step_of(temporary_of(name) or "") is not None and is_left_over(
        checkpoints, name, CONTENTS, writes_nobody=True
    )


def _step_inside(folder: OpenFolder) -> int | None:
    """The step that a checkpoint's progress says; None where it can't be read."""
    try:
        step = json.loads(folder.read("progress.json", limits.PROGRESS))["step"]
    except (OSError, ValueError, TypeError, KeyError, RunError):
        return None
    return step if isinstance(step, int) else None
