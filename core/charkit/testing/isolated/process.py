"""The kit's side of isolated processes: each creates the installed backend anew.

They may start before the checks that use them, so that they load the framework while other checks run. Then they
wait for requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from charkit.system.processes import kill_group, own_group
from charkit.system.signals import signal_name
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch

#: Longer than the slowest framework takes to load and to compile a step on a busy machine.
_REPORT_TIMEOUT_SECONDS = 300.0
#: From these, libraries take the number of threads that a backend gets unless it asks for another.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: What a user may have set, for one of the two training processes: it must stay. Idle threads of libgomp that spin so
#: briefly leave the processors to the other processes: ``verify`` on PyTorch took 5.6 s with it, 5.7 s with 3,000 and
#: 6.0 s with 30,000 (medians of four, two Intel cores).
_USER_VARIABLES = {"GOMP_SPINCOUNT": "300", **dict.fromkeys(THREAD_VARIABLES, "1")}
THREADS = (
    "backend.py: __init__ (or compile()) sets the framework's number of threads, and sets self.threads to the number "
    "in use"
)


class IsolatedProcess:
    """One isolated process, until ``end`` or until a report takes longer than some minutes."""

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
            **own_group(),
        )
        self.pid = self._process.pid

    def send(self, request: str) -> None:
        """Sends a request; one to a process that has ended is ignored."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # the next report raises with the reason

    def report(self, look_at: str = "") -> Any:
        """The next line that it writes, read from JSON.

        Raises ProcessEndedError, with the last line of its standard error, if it ends without one.
        """
        assert self._process.stdout is not None
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self._process.kill()

        timeout = threading.Timer(_REPORT_TIMEOUT_SECONDS, give_up)
        timeout.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timeout.cancel()
        if not line:
            status = self._process.wait()
            raise ProcessEndedError(
                status, self._why_it_ended(is_late=is_late.is_set()), look_at or self._look_at
            )
        return json.loads(line)

    def _why_it_ended(self, *, is_late: bool) -> str:
        """Whether it ended by itself or was killed for being late, with the last line of its standard error."""
        last = self.last_line()
        if not is_late:
            ended = f"; its last output was: {last}" if last else " without printing anything"
            status = self._process.returncode
            how = (
                f"was killed by signal {signal_name(-status)}"
                if status < 0
                else f"ended with status {status}"
            )
            return f"the process {how}{ended}"
        output = f"; its last output was: {last}" if last else ""
        return f"no response within {_REPORT_TIMEOUT_SECONDS:.0f} s, so the process was killed{output}"

    def last_line(self) -> str:
        """The last line of its standard error so far; empty if it has written none."""
        self._errors.seek(0)
        return "".join(self._errors.read().strip().splitlines()[-1:])

    def close(self) -> None:
        """Sends no more requests, whereupon the process ends by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    @property
    def status(self) -> int | None:
        """The status of the process once ``has_ended`` has returned True, as of subprocess."""
        return self._process.returncode

    def has_ended(self, timeout_seconds: float) -> bool:
        """Whether the process has ended, or does so within this time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return self._process.returncode is not None

    def end(self) -> None:
        """Ends the process and removes its folder; does nothing the second time."""
        if self._errors.closed:
            return
        kill_group(self._process)  # with whatever the backend forked off, which may hang
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # a request that was never read
                pipe.close()
        self._errors.close()
        self._folder.cleanup()


class ProcessEndedError(Mismatch):
    """An isolated process ended without a report."""

    def __init__(self, status: int, last_line: str, look_at: str) -> None:
        super().__init__(
            "a separate process that creates the backend more than once and trains",
            last_line,
            look_at,
        )
        self.status = status  # as of subprocess: negative for a signal


class TrainingProcess(IsolatedProcess):
    """A process that lists the plugin's imports, reports its results and settings, and trains on request."""

    def __init__(self, subject: Subject, *, threads: int, hash_seed: int) -> None:
        super().__init__(
            "charkit.testing.isolated",
            *(subject.name, str(threads), subject.device or ""),
            look_at=THREADS,
            variables={"PYTHONHASHSEED": str(hash_seed), **(_USER_VARIABLES if hash_seed == 2 else {})},
        )
        self._plugin_imports: list[str] | None = None

    def plugin_imports(self) -> list[str]:
        """The modules that the plugin's module imports. Raises ProcessEndedError if it can't be imported."""
        if self._plugin_imports is None:
            self._plugin_imports = super().report()
        return self._plugin_imports

    def report(self, look_at: str = "") -> Any:
        """The next line after the plugin's imports, as ``IsolatedProcess.report`` returns it."""
        self.plugin_imports()
        return super().report(look_at)


class TrainingProcesses(NamedTuple):
    """Two processes that train, with one thread and with two, and with different hash seeds.

    In the second, a user has limited the libraries to one thread, which the backend's two go beyond.
    """

    one_thread: TrainingProcess
    two_threads: TrainingProcess

    def end(self) -> None:
        """Ends both."""
        for process in self:
            process.end()


def start_training_processes(subject: Subject) -> TrainingProcesses:
    """Starts a new pair."""
    return TrainingProcesses(
        TrainingProcess(subject, threads=1, hash_seed=1),
        TrainingProcess(subject, threads=2, hash_seed=2),
    )


def shared_training_processes(subject: Subject) -> TrainingProcesses:
    """The pair that all checks share, started once and ended with the subject."""
    return subject.cached("training processes", lambda: subject.end_later(start_training_processes(subject)))


def runs_on_cpu(subject: Subject) -> bool:
    """Whether the backend computes on the CPU by default, in the memory of its process."""
    return subject.backend_class().devices()[0] == "cpu"
