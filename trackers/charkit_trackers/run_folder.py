"""The folder of a run that trackers keep their files in, and what every tracker records of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charkit import events
from charkit.errors import RunError, StorageError
from charkit.runs.atomic_files import replace_file, to_json
from charkit.runs.open_folder import OpenFolder
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


def tracking_folder(run: Path) -> Path:
    """The folder of a run's trackers, which is made if need be.

    Raises StorageError where that is a link: a run of a stranger must not have files written elsewhere.
    """
    folder = run / TRACKING
    if folder.is_symlink():
        raise StorageError(
            f"{str(folder)!r} is a symbolic link, but trackers write only inside the run; remove it"
        )
    folder.mkdir(exist_ok=True)
    return folder


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
        with OpenFolder.at(tracking_folder(run)) as folder:
            content = parse_json(folder.read(f"{tracker}.json", _IDENTITY_LIMIT))
    except (OSError, ValueError, RunError):
        return {}
    texts = isinstance(content, dict) and all(isinstance(value, str) for value in content.values())
    return content if texts and content.get(key) else {}


def write_identity(run: Path, tracker: str, identity: dict[str, str]) -> None:
    """Notes which of the tracker's runs this is, for the next session."""
    replace_file(tracking_folder(run) / f"{tracker}.json", to_json(identity))


def as_text(value: Any) -> str:
    """A parameter as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
