"""Processes beside the kit, for what shows only in a process of its own. Each makes the installed backend anew.

They may begin before the checks that look at them, so that they load the framework while other checks run. Then
they wait for the order to work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch

#: Longer than the slowest framework takes to load and to compile a step on a busy machine.
_PATIENCE_SECONDS = 300.0
#: A variable that a user may have set, for one of the two that train: it is the user's, and stays. This is libgomp's.
_OF_THE_USER = {"GOMP_SPINCOUNT": "30000"}
THREADS = (
    "backend.py: __init__ (or compile) sets the framework's threads, and self.threads to the number in use"
)


class IsolatedProcess:
    """One process. It is ended with ``end``, or where a report is waited for in vain for some minutes."""

    def __init__(
        self, module: str, *arguments: str, look_at: str, variables: Mapping[str, str] | None = None
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see end()
        self._folder = tempfile.TemporaryDirectory(prefix="charkit-verify-")
        self._look_at = look_at
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, self._folder.name, *arguments],
            env=os.environ | dict(variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid

    def send(self, order: str) -> None:
        """Sends it an order, which one that has ended ignores."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # what it died of is in its report, which was read before

    def report(self, look_at: str = "") -> Any:
        """What it writes, read from JSON. Raises Mismatch with its last words if it ends without a report."""
        assert self._process.stdout is not None
        patience = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        patience.start()
        try:
            line = self._process.stdout.readline()
        finally:
            patience.cancel()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            words = (self._errors.read().strip().splitlines() or ["it printed nothing"])[-1]
            raise EndedError(status, words, look_at or self._look_at)
        return json.loads(line)

    def end(self) -> None:
        """Ends it, and removes what it left. Once it is ended, this does nothing."""
        if self._errors.closed:
            return
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()


class EndedError(Mismatch):
    """An isolated process ended before it had reported."""

    def __init__(self, status: int, words: str, look_at: str) -> None:
        super().__init__(
            "another process that makes the backend twice, in two precisions, and trains", words, look_at
        )
        self.status = status  # as of subprocess: negative for a signal


class Workers(NamedTuple):
    """Two processes that train, one with one thread and one with two, and with other seeds for hashes."""

    one: IsolatedProcess
    two: IsolatedProcess

    def end(self) -> None:
        """Ends both."""
        for process in self:
            process.end()


def worker(subject: Subject, *, threads: int, hash_seed: int) -> IsolatedProcess:
    """A process that computes, reports its bits and settings, then trains or evaluates on demand."""
    return IsolatedProcess(
        "charkit.testing.isolated",
        *(subject.name, str(threads), subject.device or ""),
        look_at=THREADS,
        variables={"PYTHONHASHSEED": str(hash_seed), **(_OF_THE_USER if hash_seed == 2 else {})},
    )


def workers(subject: Subject) -> Workers:
    """Two of them, begun."""
    return Workers(worker(subject, threads=1, hash_seed=1), worker(subject, threads=2, hash_seed=2))


def begin(subject: Subject) -> None:
    """Begins the processes that the checks of an installed plugin will look at; they are ended with the subject."""
    if subject.factory is None:
        first_workers(subject)


def first_workers(subject: Subject) -> Workers:
    """The two that train, begun once."""
    return subject.kept("workers", lambda: subject.at_end(workers(subject)))


def runs_on_cpu(subject: Subject) -> bool:
    """Whether the backend computes on the processor by default, in the memory of its process."""
    return subject.backend_class().devices()[0] == "cpu"
