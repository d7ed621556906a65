"""The run that was saved last, which commands take where none is given."""

from __future__ import annotations

import stat
from pathlib import Path

from charkit.errors import RunError
from charkit.runs.folder_files import OpenFolder
from charkit.runs.new_folders import visible_entries
from charkit.runs.run import RUNS_FOLDER


def newest_run_path(runs: Path = RUNS_FOLDER) -> Path:
    """The run in ``runs`` that was saved last. Raises RunError where there is none."""
    saved = [(modified, entry) for entry in visible_entries(runs) if (modified := _saved_at(entry))]
    if not saved:
        raise RunError(
            f"no run was given, and there is none in {str(runs)!r}; give the directory of a run, or train one"
        )
    return max(saved)[1]


def _saved_at(path: Path) -> int:
    """When a run was saved last, in nanoseconds since the epoch; 0 for what is no run."""
    try:
        with OpenFolder.at(path) as folder:
            status = folder.status("latest")
    except OSError:
        return 0
    return status.st_mtime_ns if status is not None and stat.S_ISREG(status.st_mode) else 0
