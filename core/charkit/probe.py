"""Tries backends in child processes, for ``toolkit backends`` and for errors that name who has what.

Run as ``python -m charkit.probe NAME``, this module is also the child: it prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from charkit import plugins
from charkit.errors import BackendError, CharkitError

LIMIT_SECONDS = 10.0


@dataclass(frozen=True)
class BackendRow:
    """What is known of one installed backend. ``reason`` says what is wrong and what to do, or is empty."""

    name: str
    status: str  # usable, framework missing, broken, conflicting
    distribution: str
    version: str
    devices: list[str]
    precisions: list[str]
    reason: str


def probe_all(*, leave_out: str | None = None, limit_seconds: float = LIMIT_SECONDS) -> list[BackendRow]:
    """Tries every installed backend, each in a process of its own with its output captured."""
    rows = [row for row in plugins.each_name() if row[0] != leave_out]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(lambda row: probe(*row, limit_seconds=limit_seconds), rows))


def probe(name: str, distribution: str, version: str, *, limit_seconds: float) -> BackendRow:
    """Tries one backend in a child process. A child that dies, hangs or babbles makes a broken row."""

    def broken(reason: str) -> BackendRow:
        return BackendRow(name, "broken", distribution, version, [], [], reason)

    command = [sys.executable, "-m", "charkit.probe", name]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return broken(f"did not answer within {limit_seconds:.0f} s; import it by hand to see where it hangs")
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
        return broken(f"its process ended with {how} on import: {last:.200}")
    return BackendRow(name=name, distribution=distribution, version=version, **answer)


def _answer(name: str) -> dict[str, object]:
    """What the child found, as the keys of a row."""
    row: dict[str, object] = {"status": "usable", "devices": [], "precisions": [], "reason": ""}
    try:
        plugins.find(name)
    except BackendError as error:
        return {**row, "status": "conflicting", "reason": str(error)}
    try:
        backend = plugins.backend_class(name)
        return {**row, "devices": backend.devices(), "precisions": sorted(backend.precisions)}
    except plugins.FrameworkMissingError as error:
        return {**row, "status": "framework missing", "reason": str(error)}
    except CharkitError as error:
        return {**row, "status": "broken", "reason": str(error)}


def as_json(rows: list[BackendRow]) -> list[dict[str, object]]:
    """The rows as the JSON of ``toolkit backends --json`` has them."""
    return [asdict(row) for row in rows]


if __name__ == "__main__":
    # What a plugin prints goes to standard error; only the answer goes to standard output.
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    json.dump(_answer(sys.argv[1]), answer_to)
    answer_to.flush()
    os._exit(0)  # a framework's threads must not keep the child from ending
