"""Checkpoints: arrays and progress of one step, with a manifest that shows whether they are whole.

safetensors alone is neither durable nor checked, so the manifest holds size and SHA-256 of every file
and is written last. A reader takes the newest checkpoint whose manifest matches its files, and skips the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from charkit.backend import Array
from charkit.config import RunConfig
from charkit.errors import RunError, reason_of
from charkit.runs import limits
from charkit.runs.checkpoint_content import (
    COMMON,
    FILES,
    MANIFEST,
    PROGRESS,
    Checkpoint,
    ManifestEntry,
    check_savable,
    most_bytes,
    parse_checkpoint,
    parse_manifest,
    parse_progress,
)
from charkit.runs.files_by_path import to_json, writing
from charkit.runs.folder_files import OpenFolder
from charkit.runs.pointers import Which, checkpoint_name, pointed_at, step_of
from charkit.snapshot import moment_arrays
from charkit.strict_json import parse_json

#: The folder of a run's checkpoints.
CHECKPOINTS = "checkpoints"
#: All files in the folder of a checkpoint.
CONTENTS = frozenset({*FILES, MANIFEST})
#: How often a reader looks for a whole checkpoint, while those that it found are removed by a training process.
LOOKS = 10


def save_checkpoint(run: Path, checkpoint: Checkpoint, check: Callable[[], None] = lambda: None) -> Path:
    """Writes a checkpoint in one step and returns its folder.

    One of the same step, which a stopped validation or a session that was cut off left, is replaced only at the end.

    ``check`` is called before each file is written and before the folder gets its name; what it raises ends the save,
    with nothing left of it.

    Raises StorageError if the disk is full, NotFiniteError for an array with nan or infinity in it, and BackendError
    for one whose type is not the precision's.
    """
    check_savable(checkpoint)
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
        open_checkpoints(run, make=True) as (opened, checkpoints),
        checkpoints.new_folder(path.name, existing="replace", contents=CONTENTS) as folder,
    ):

        def write(name: str, content: bytes) -> None:
            check()
            folder.write(name, content)
            manifest[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}

        for name, group in arrays.items():
            write(f"{name}.safetensors", save(_contiguous(group)))  # one in memory at a time
        write(PROGRESS, to_json(checkpoint.progress.model_dump(mode="json")))
        manifest = dict(sorted(manifest.items())) | {name: opened.fingerprint(name) for name in COMMON}
        folder.write(MANIFEST, to_json(manifest))
        check()
    return path


def _contiguous(arrays: dict[str, Any]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


@contextmanager
def open_checkpoints(run: Path, *, make: bool = False) -> Iterator[tuple[OpenFolder, OpenFolder]]:
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
            open_checkpoints(folder.parent.parent) as (run, checkpoints),
            checkpoints.folder(folder.name) as opened,
        ):
            return _damage(run, opened, arrays_limit)
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except RunError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"its manifest can't be read ({reason_of(error)})"


def _damage(run: OpenFolder, folder: OpenFolder, arrays_limit: int) -> str | None:
    for name, expected in parse_manifest(folder.read(MANIFEST, limits.MANIFEST)).items():
        place = run if name in COMMON else folder
        status = place.status(name)
        if status is None:
            return f"{name} is missing"
        if max(status.st_size, expected.bytes) > arrays_limit or not _fits(place, name, expected):
            return f"{name} does not match the manifest"
    step = step_inside(folder)
    if step != step_of(folder.path.name):
        return f"its name does not match its step, {step}"
    return None


def _fits(folder: OpenFolder, name: str, expected: ManifestEntry) -> bool:
    """Whether a file is what the manifest says; one of another size is not read."""
    status = folder.status(name)
    return (
        status is not None
        and status.st_size == expected.bytes
        and folder.fingerprint(name) == expected.model_dump()
    )


def checkpoint_names(run: Path) -> list[str]:
    """The names of a run's checkpoints, whole or not, the newest first.

    What charkit doesn't call so is none, nor is a folder without any file of a checkpoint: it may be a user's own.
    """
    try:
        with open_checkpoints(run) as (_, checkpoints):
            steps = [step_of(name) for name in checkpoints.names() if _is_checkpoint(checkpoints, name)]
    except FileNotFoundError:
        return []
    return [checkpoint_name(step) for step in sorted((s for s in steps if s is not None), reverse=True)]


def _is_checkpoint(checkpoints: OpenFolder, name: str) -> bool:
    if step_of(name) is None or not checkpoints.has_folder(name):
        return False
    try:
        with checkpoints.folder(name) as folder:
            return not CONTENTS.isdisjoint(folder.names())
    except FileNotFoundError:  # a training process has removed it since
        return False
    except (OSError, RunError):  # reading it says what is wrong
        return True


def whole_checkpoints(run: Path, trusted: Container[str] = ()) -> Iterator[Path]:
    """The checkpoints whose manifest matches their files, the newest first; the trusted names are not read."""
    for name in checkpoint_names(run):
        if name in trusted or damage(run / CHECKPOINTS / name) is None:
            yield run / CHECKPOINTS / name


def find_checkpoint(run: Path, which: Which, config: RunConfig) -> tuple[Checkpoint, Path, tuple[str, ...]]:
    """The best or the latest whole checkpoint, its folder, and notices about those that were skipped.

    Raises RunError where the run has no intact checkpoint.
    """
    seen: tuple[str | None, list[str]] | None = None
    for _ in range(LOOKS):  # a training process may have removed what was listed before it was looked at
        names = checkpoint_names(run)
        best, missing = _best(run, names, config) if which == "best" else (None, _latest_missing(run, names))
        found, notices = None, list(missing)
        for name in sorted(names, key=lambda name: name != best):  # the best, then the newest
            folder = run / CHECKPOINTS / name
            try:
                found = load_checkpoint(folder, config)
                break
            except RunError as error:
                notices.append(f"skipped checkpoint {name}: {error}")
        if (found is not None and not notices) or seen == (best, names):
            break
        seen = (best, names)
    if found is None:
        what = "; ".join(notices) or "it has no checkpoint at all"
        raise RunError(
            f"{str(run)!r} has no intact checkpoint ({what}), so it can't be used; restore it from a backup, or "
            "train it again"
        )
    if missing and best is None:
        notices[0] += f"; using {folder.name}, the newest intact one"
    return found, folder, tuple(notices)


def _best(run: Path, names: list[str], config: RunConfig) -> tuple[str | None, list[str]]:
    """The checkpoint to take for the best, and a notice where that is not the one that ``best`` names.

    No manifest has the hash of ``best``, but that of the newest checkpoint has the hash of its progress, which says
    the best step too. Between a save and the pointing after it they differ, and there too the progress is right.
    """
    named = pointed_at(run, "best")
    recorded = next(filter(None, (_recorded_best(run / CHECKPOINTS / name, config) for name in names)), None)
    if recorded is not None and recorded != named and recorded in names:
        missing = named is not None and named not in names
        what = (
            f"the best checkpoint, {named}, is missing"
            if missing
            else f"'best' points to {named or 'nothing'}"
        )
        return recorded, [f"{what}, but the newest checkpoint records {recorded} as the best"]
    if named is not None and named not in names:
        return None, [f"the best checkpoint, {named}, is missing"]
    return named, []


def _latest_missing(run: Path, names: list[str]) -> list[str]:
    """A notice where ``latest`` names a checkpoint that should be the newest, but is not there."""
    named = pointed_at(run, "latest")
    if named is None or named in names or (names and (step_of(names[0]) or 0) > (step_of(named) or 0)):
        return []  # where there is a newer one, a training process has removed it since
    return [f"the latest checkpoint, {named}, is missing"]


def _recorded_best(folder: Path, config: RunConfig) -> str | None:
    """The best checkpoint by the progress of this one; None where that has none, or is damaged."""
    try:
        with (
            open_checkpoints(folder.parent.parent) as (_, checkpoints),
            checkpoints.folder(folder.name) as opened,
        ):
            expected = parse_manifest(opened.read(MANIFEST, limits.MANIFEST))[PROGRESS]
            if not _fits(opened, PROGRESS, expected):
                return None
            step = parse_progress(opened.read(PROGRESS, limits.PROGRESS), config).best_step
    except (OSError, ValueError, RunError):
        return None
    return None if step is None else checkpoint_name(step)


def load_checkpoint(folder: Path, config: RunConfig) -> Checkpoint:
    """Reads a checkpoint of a run of this configuration, each file once.

    Raises RunError, with what is wrong, where its files are not those of its manifest or hold something else than
    charkit writes.
    """
    limit = most_bytes(config)
    try:
        with (
            open_checkpoints(folder.parent.parent) as (run, checkpoints),
            checkpoints.folder(folder.name) as opened,
        ):
            try:
                manifest = parse_manifest(opened.read(MANIFEST, limits.MANIFEST))
            except ValueError as error:
                raise RunError(f"its manifest can't be read ({error})") from error
            for name in COMMON:
                if not _fits(run, name, manifest[name]):
                    raise RunError(f"{name} does not match the manifest")

            def read(name: str) -> bytes:
                content = opened.read(name, limits.PROGRESS if name == PROGRESS else limit)
                if (len(content), sha256(content).hexdigest()) != (
                    manifest[name].bytes,
                    manifest[name].sha256,
                ):
                    raise RunError(f"{name} does not match the manifest")
                return content

            found = parse_checkpoint(read, config)
    except FileNotFoundError as error:
        raise RunError(f"{Path(str(error.filename)).name} is missing") from error
    except OSError as error:
        raise RunError(f"it can't be read ({reason_of(error)})") from error
    if found.progress.step != step_of(folder.name):
        raise RunError(f"its name does not match its step, {found.progress.step}")
    return found


def step_inside(folder: OpenFolder) -> int | None:
    """The step that a checkpoint's progress says; None where it can't be read."""
    try:
        step = parse_json(folder.read(PROGRESS, limits.PROGRESS))["step"]
    except (OSError, ValueError, TypeError, KeyError, RunError):
        return None
    return step if type(step) is int else None
