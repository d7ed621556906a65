"""The process of one mutant: runs the kit on it until a check fails."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from charkit.testing import CheckResult, run_checks

VERDICT, PROGRESS = "verdict.json", "progress"


class _FoundError(Exception):
    """Stops the kit at the first finding."""


def run_kit(backend: str, folder: Path) -> None:
    """Runs the kit on the backend in the folder, and writes the verdict there."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    importlib.invalidate_caches()
    found = _first_finding(backend, folder / PROGRESS)
    (folder / VERDICT).write_text(json.dumps(found and asdict(found)), "utf-8")


def _first_finding(backend: str, progress: Path) -> CheckResult | None:
    found: list[CheckResult] = []

    def on_result(result: CheckResult) -> None:
        if result.status in {"failed", "not run"}:
            found.append(result)
            raise _FoundError
        with progress.open("a") as file:
            file.write(f"{result.name} {result.seconds:.2f}\n")

    try:
        run_checks(backend, on_result)
    except _FoundError:
        return found[0]
    return None
