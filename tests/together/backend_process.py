"""Processes that load one backend each and run commands of ``toolkit`` with it, one after another."""

from __future__ import annotations

import io
import json
import multiprocessing
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

#: Seconds that a command may take, on however busy a machine.
PATIENCE_SECONDS = 300


class BackendProcess:
    """A process of its own for one backend, which imports and compiles once for all of its commands."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._pool: Pool | None = None

    def __call__(self, *arguments: str | Path) -> dict[str, Any]:
        """Runs a command with this backend and ``--json``; what it printed. Fails where the command does."""
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        given = [*map(str, arguments), "--backend", self._backend, "--json"]
        status, out, err = self._pool.apply_async(_run, (given,)).get(PATIENCE_SECONDS)
        assert status == 0, err
        return dict(json.loads(out))

    def close(self) -> None:
        """Ends the process."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


def _run(arguments: list[str]) -> tuple[int, str, str]:
    """In that process: a command's exit status, and what it printed."""
    from charkit_cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(arguments)
    return status, out.getvalue(), err.getvalue()
