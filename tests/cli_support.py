"""Runs the command line inside a test's own process, and sees what it says and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from charkit_cli.main import run as run_toolkit

#: Options of a model that trains in milliseconds.
TINY = (
    "--recipe=classic",
    "--lstm-size=8",
    "--batch-size=4",
    "--num-steps=8",
    "--threads=1",
    "--sample-length=20",
    "--log-every=5",
    "--validation-share=0.1",
    "--test-share=0.1",
)
#: Installs a made-up backend: see the fixture ``install``.
Install = Callable[..., None]


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """The content of every file in the folder by its path; None for folders.

    A lock's content is left out: it names the last process that held it, and means nothing afterwards.
    """
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and path.name != "lock" else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


class Toolkit:
    """Calls commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Outcome:
        """Runs a command, whatever comes of it."""
        self._capsys.readouterr()
        status = run_toolkit([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return Outcome(status, said.out, said.err)

    def ok(self, *arguments: str | Path) -> Outcome:
        """Runs a command that must succeed."""
        outcome = self(*arguments)
        assert outcome.status == 0, outcome.err + outcome.out
        return outcome

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """Runs a command that must succeed with ``--json``, and print one JSON object and nothing else."""
        outcome = self.ok(*arguments, "--json")
        assert outcome.out.count("\n") == 1
        answer = json.loads(outcome.out, parse_constant=lambda word: pytest.fail(f"printed {word}"))
        assert isinstance(answer, dict)
        return answer

    def error(self, *arguments: str | Path) -> str:
        """Runs a command that must refuse: exit status 2, one line, and not a file made or changed."""
        before = snapshot(Path.cwd().parent)
        outcome = self(*arguments)
        assert outcome.status == 2, outcome
        assert outcome.out == ""
        message = only_error(outcome.err)
        after = snapshot(Path.cwd().parent)
        after.pop("scratch", None)
        before.pop("scratch", None)
        assert after == before
        return message


def only_error(said: str) -> str:
    """The error in what was said on standard error, which must be its only line but for notes."""
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def start(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    standard_input: int | None = None,
) -> subprocess.Popen[str]:
    """Starts a command in a process of its own, with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "charkit_cli", *map(str, arguments)],
        stdin=standard_input,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=encoding,
        env={**os.environ, "PYTHONUTF8": "1", **(environment or {})},
    )


def wait_for(child: subprocess.Popen[str], beginning: str) -> list[str]:
    """Reads standard error up to the line that begins so; the lines read."""
    assert child.stderr is not None
    lines = []
    for line in child.stderr:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"no line began with {beginning!r}: {''.join(lines)}")


def wait_for_step(child: subprocess.Popen[str], run: Path, step: int) -> None:
    """Waits until a run that is being trained has recorded a step; in a pipe, reports come by time."""
    while not any(f'"step":{step},' in line.replace(" ", "") for line in _lines(run / "metrics.jsonl")):
        assert child.poll() is None, "training ended before that step"
        time.sleep(0.02)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def weights_of(run: Path) -> bytes:
    """The bytes of the weights at the run's latest checkpoint."""
    latest = json.loads((run / "latest").read_text("utf-8"))
    return (run / "checkpoints" / str(latest["checkpoint"]) / "model.safetensors").read_bytes()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
