"""The process of one mutant: runs the kit on it until a check fails."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from charkit.testing import CheckResult, run_checks

VERDICT, PROGRESS, OUTPUT = "verdict.json", "progress", "output"


class _FoundError(Exception):
    """Stops the kit at the first finding."""


def run_kit(backend: str, folder: Path) -> None:
    """Runs the kit on the backend in the folder, and writes the verdict there; never returns."""
    status = 1
    try:
        os.setsid()  # so that processes that it starts end with it
        _redirect(folder / OUTPUT)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        importlib.invalidate_caches()
        found = _first_finding(backend, folder / PROGRESS)
        (folder / VERDICT).write_text(json.dumps(found and asdict(found)), "utf-8")
        status = 0
    except BaseException:  # noqa: BLE001 - a forked child must never return
        traceback.print_exc()
    finally:
        os._exit(status)


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


def _redirect(path: Path) -> None:
    """Sends everything that is printed to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, standard in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, standard)
