"""Checkpoints: arrays and progress of one step, with a manifest that shows whether they are whole.

safetensors alone is neither durable nor checked, so the manifest holds size and SHA-256 of every file
and is written last. A reader takes the newest checkpoint whose manifest matches its files, and skips the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save

from charkit.backend import Array
from charkit.config import RunConfig
from charkit.errors import RunError
from charkit.runs.atomic_files import file_sha256, new_folder, replace_file, to_json, write_file
from charkit.runs.checkpoint_content import (
    COMMON,
    Checkpoint,
    TrainingProgress,
    check_savable,
    parse_checkpoint,
    parse_manifest,
)
from charkit.snapshot import moment_arrays
from charkit.strict_json import parse_json

#: Whole checkpoints that are kept besides the best one.
KEEP_NEWEST = 2
Which = Literal["best", "latest"]


def checkpoint_name(step: int) -> str:
    """The folder name of a step's checkpoint; sorts by step."""
    return f"{step:08d}"


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint in one step and returns its folder.

    Raises StorageError if the disk is full, NotFiniteError for an array with nan or infinity in it, and BackendError
    for one whose type is not the precision's.
    """
    check_savable(checkpoint)
    path = run / "checkpoints" / checkpoint_name(checkpoint.progress.step)
    if path.exists():
        shutil.rmtree(path)  # left by a session that was cut off after this step
    snapshot = checkpoint.snapshot
    arrays = {
        "model": snapshot.weights,
        "optimizer": moment_arrays(snapshot.moments),
        "state": snapshot.state._asdict(),
    }
    manifest: dict[str, dict[str, int | str]] = {}
    with new_folder(path) as folder:

        def write(name: str, content: bytes) -> None:
            write_file(folder / name, content)
            manifest[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}

        for name, group in arrays.items():
            write(f"{name}.safetensors", save(_contiguous(group)))  # one in memory at a time
        write("progress.json", to_json(checkpoint.progress.model_dump(mode="json")))
        manifest = dict(sorted(manifest.items())) | {name: _fingerprint(run / name) for name in COMMON}
        write_file(folder / "manifest.json", to_json(manifest))
    return path


def _contiguous(arrays: dict[str, Any]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _fingerprint(path: Path) -> dict[str, int | str]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, as a sentence; None if its manifest matches its files."""
    try:
        manifest = parse_manifest((folder / "manifest.json").read_bytes())
        for name, expected in manifest.items():
            path = (folder.parent.parent if name in COMMON else folder) / name
            if (path.stat().st_size, file_sha256(path)) != expected:
                return f"{name} is not what the manifest says"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:
        return f"its manifest can't be read ({error})"
    return None


def whole_checkpoints(run: Path, trusted: Container[str] = ()) -> Iterator[Path]:
    """The checkpoints whose manifest matches their files, the newest first; the trusted names are not read."""
    for folder in sorted((run / "checkpoints").glob("[0-9]*"), reverse=True):
        if folder.name in trusted or damage(folder) is None:
            yield folder


def find_checkpoint(run: Path, which: Which, config: RunConfig) -> tuple[Checkpoint, Path, tuple[str, ...]]:
    """The best or the latest whole checkpoint, its folder, and notices about those that were skipped.

    Raises RunError where the run has no whole checkpoint.
    """
    for _ in range(2):  # a training process may have removed what was listed before it was looked at
        folders = sorted((run / "checkpoints").glob("[0-9]*"), reverse=True)
        best = pointed_at(run, "best") if which == "best" else None
        notices: list[str] = []
        for folder in sorted(folders, key=lambda folder: folder.name != best):  # the best, then the newest
            wrong = damage(folder)
            try:
                if wrong is None:
                    return load_checkpoint(folder, config), folder, tuple(notices)
            except RunError as error:
                wrong = str(error)
            notices.append(f"skipped checkpoint {folder.name}: {wrong}")
    what = "; ".join(notices) or "there is none"
    raise RunError(f"{str(run)!r} has no whole checkpoint ({what}); nothing of it can be used")


def load_checkpoint(folder: Path, config: RunConfig) -> Checkpoint:
    """Reads a checkpoint of a run of this configuration. Raises RunError where its files are not those of one."""
    try:
        found = parse_checkpoint(lambda name: (folder / name).read_bytes(), config)
    except OSError as error:
        raise RunError(f"it can't be read ({error})") from error
    if checkpoint_name(found.progress.step) != folder.name:
        raise RunError(f"progress.json: its step is {found.progress.step}")
    return found


def point(run: Path, which: Which, step: int) -> None:
    """Points ``best`` or ``latest`` at a step: a little JSON, since links don't travel everywhere."""
    replace_file(run / which, to_json({"checkpoint": checkpoint_name(step), "step": step}))


def pointed_at(run: Path, which: Which) -> str | None:
    """The name of the checkpoint that ``best`` or ``latest`` points at, or None."""
    try:
        name = parse_json((run / which).read_bytes())["checkpoint"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{str(run / which)!r} can't be read ({error}); remove it to use the newest"
        ) from error
    return str(name)


def repair_best(run: Path, progress: TrainingProgress) -> None:
    """Points ``best`` at the best step of the progress, in case a crash came between saving and pointing."""
    step = progress.best_step
    if step is None or pointed_at(run, "best") == checkpoint_name(step):
        return
    if (run / "checkpoints" / checkpoint_name(step)).exists():
        point(run, "best", step)


def prune(run: Path, written: Container[str] = ()) -> None:
    """Removes all checkpoints but the best and the newest whole ones, and what a crash left half written.

    ``written`` are the names of those that this process wrote: they are durable, and are not read again.
    """
    keep = {folder.name for folder in islice(whole_checkpoints(run, written), KEEP_NEWEST)}
    keep.add(pointed_at(run, "best") or "")
    checkpoints = run / "checkpoints"
    for folder in (*checkpoints.glob("[0-9]*"), *checkpoints.glob(".[0-9]*-*")):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)  # a file that a reader holds may go at the next save
