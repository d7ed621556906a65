"""The folder of a run that trackers keep their files in, and what every tracker records of a run."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charkit import events
from charkit.errors import RunError, StorageError
from charkit.runs.files_by_path import to_json, writing
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import parse_json

#: The folder in a run's own.
TRACKING = "tracking"
#: The most bytes that are read of a note of a tracker's.
_IDENTITY_LIMIT = 64 << 10
#: The metrics that a report has, in a tracker's order; the step is every tracker's own axis.
METRICS = (
    *("epoch", "loss", "validation_loss", "learning_rate", "gradient_norm"),
    *("characters_per_second", "elapsed_seconds"),
)


@contextmanager
def open_tracking(run: Path) -> Iterator[OpenFolder]:
    """Opens the folder of a run's trackers, which is made if need be.

    Raises StorageError where that is a link: a run of a stranger must not have files written elsewhere.
    """
    with OpenFolder.at(run) as opened, _entered(opened, TRACKING) as folder:
        yield folder


def in_quotes(path: Path | str) -> str:
    """A path in a command to copy, in quotes if it needs them. Windows knows double quotes alone."""
    if os.name != "nt":
        return shlex.quote(str(path))
    return f'"{path}"' if " " in str(path) else str(path)


def own_folder(run: Path, tracker: str, *, outward_links: Collection[str] = ()) -> Path:
    """The folder in which a tracker's library writes by paths of its own; it is made if need be.

    Raises StorageError for a link that leads out of it, and RunError for a pipe, a device or a hard link in it: what
    such a library opens, it follows. ``outward_links`` are names of links that the library itself makes, and never
    writes through.
    """
    with open_tracking(run) as tracking, _entered(tracking, tracker) as folder:
        _check_entries(folder, Path(os.path.realpath(folder.path)), outward_links)
        return folder.path


@contextmanager
def _entered(folder: OpenFolder, name: str) -> Iterator[OpenFolder]:
    """Opens a folder in a folder, which is made if need be."""
    folder.ensure_folder(name)
    if folder.has_link(name):
        raise _link_refused(folder.path / name)
    with folder.folder(name) as entered:
        yield entered


def _check_entries(folder: OpenFolder, top: Path, outward_links: Collection[str]) -> None:
    for name in folder.names():
        path = folder.path / name
        if folder.has_link(name):
            if name not in outward_links and not Path(os.path.realpath(path)).is_relative_to(top):
                raise _link_refused(path)
        elif folder.has_folder(name):
            with folder.folder(name) as entered:
                _check_entries(entered, top, outward_links)
        else:
            os.close(folder.open_file(name, os.O_RDONLY))


def _link_refused(path: Path) -> StorageError:
    return StorageError(
        f"{str(path)!r} is a symbolic link, but observers write only inside the run; remove the link"
    )


def metrics_of(event: events.StepMetrics) -> dict[str, float]:
    """The metrics of a report that there are."""
    values = asdict(event)
    return {name: values[name] for name in METRICS if values[name] is not None}


def parameters_of(event: events.Started) -> dict[str, Any]:
    """What a tracker shows of a run besides its metrics: settings by ``section.name``, backend and versions.

    No path, command, user or machine is among them.
    """
    settings = {
        f"{section}.{name}": value
        for section, group in event.settings.items()
        for name, value in group.items()
    }
    return {
        "backend": event.backend,
        "precision": event.precision,
        "device": event.device,
        "threads": event.threads,
        "parameters": event.parameters,
        "vocabulary_size": event.vocabulary_size,
        "training_symbols": event.training_symbols,
        **settings,
        **{f"version.{name}": version for name, version in event.versions.items()},
    }


def read_identity(run: Path, tracker: str, key: str) -> dict[str, str]:
    """What a tracker noted of its own run, ``key`` at least; empty where there is no such note yet."""
    try:
        with open_tracking(run) as folder:
            content = parse_json(folder.read(f"{tracker}.json", _IDENTITY_LIMIT))
    except (OSError, ValueError, RunError):
        return {}
    texts = isinstance(content, dict) and all(isinstance(value, str) for value in content.values())
    return content if texts and content.get(key) else {}


def write_identity(run: Path, tracker: str, identity: dict[str, str]) -> None:
    """Notes which of the tracker's runs this is, for the next session."""
    name = f"{tracker}.json"
    with writing(run / TRACKING / name), open_tracking(run) as folder:
        folder.replace(name, to_json(identity))


def as_text(value: Any) -> str:
    """A parameter as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
