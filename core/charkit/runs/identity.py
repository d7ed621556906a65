"""Whether a folder is a run."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import parse_json


def identity(path: Path) -> dict[str, Any] | None:
    """The content of a run's config.json, or None where the folder is not a run."""
    try:
        with OpenFolder.at(path) as folder:
            content = parse_json(folder.read("config.json", limits.CONFIG))
    except (OSError, ValueError, RunError):
        return None
    is_run = isinstance(content, dict) and type(content.get("format")) is int and "config" in content
    return content if is_run else None


def run_in(folder: Path) -> Path | None:
    """A run directly in the folder, or None where none is found among its first thousand entries."""
    try:
        return next(
            (path for path in sorted(islice(folder.iterdir(), 1000)) if identity(path) is not None), None
        )
    except OSError:
        return None
