"""The parent's side of a worker process: sends requests, waits for responses, and says in one line what failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from charkit.system.pipes import readable
from charkit.system.processes import kill_group, own_group
from charkit.system.signals import KILL, signal_name
from charkit_comparison.plan import Plan, Variant

#: Set for every library, so that all of them use the same number of threads.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Seconds that a worker may take to exit once it has nothing to do.
EXIT_SECONDS = 5.0


class WorkerFailedError(Exception):
    """A worker could not carry out a request, died, or took too long; the message is one line."""


class WorkerProcess:
    """The process of one variant, reached by ``request`` only. Raises OSError where its interpreter can't be run.

    ``steps`` are the training steps that it will be asked for, by default those of the plan. As ``control`` 1, 2, ...
    it starts from weights perturbed by one rounding unit, in other directions for each number.
    """

    def __init__(self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(plan.threads))}
        if variant.module is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # some frameworks take a GPU unasked
        try:
            self._process = subprocess.Popen(
                [variant.python or sys.executable, "-P", "-m", "charkit_comparison.processes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                **own_group(),  # Ctrl-C is for the parent, which ends its workers itself
            )
        except OSError:
            self._log.close()
            raise
        self.backend = variant.backend
        self._unread = b""
        self._busy = False
        self.configure(variant, plan, steps, control=control)

    def configure(self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0) -> None:
        """Sets what ``prepare`` makes: the first model of the process, or another one in its place."""
        self._limit = plan.turn_limit_seconds
        self._settings: dict[str, Any] = {
            "folder": str(plan.folder),
            "backend": variant.backend,
            "precision": variant.precision,
            "device": variant.device,
            "module": variant.module,
            "threads": plan.threads,
            "steps": plan.steps if steps is None else steps,
            "planned_steps": plan.steps,
            "control": control,
            "started": time.time(),
        }

    @property
    def is_idle(self) -> bool:
        """Whether the process waits for a request."""
        return not self._busy and self._process.poll() is None

    def prepare(self) -> dict[str, Any]:
        """Has the worker make its model."""
        return self.request("prepare", **self._settings)

    def request(
        self, action: str, *, on_progress: Callable[[float], None] | None = None, **details: Any
    ) -> dict[str, Any]:
        """Sends a request and waits for the response. Raises WorkerFailedError.

        ``on_progress`` is called with the share that is done, each time that the worker reports it.
        """
        assert self._process.stdin is not None
        self._busy = True
        try:
            self._process.stdin.write(json.dumps({"action": action, **details}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerFailedError(self._exit_reason()) from error
        deadline = time.monotonic() + self._limit
        response = _parse_response(self._read_line(deadline))
        while response.keys() == {"progress"}:
            if on_progress is not None:
                on_progress(float(response["progress"]))
            response = _parse_response(self._read_line(deadline))
        self._busy = False
        if "error" in response:
            raise WorkerFailedError(str(response["error"]))
        return response

    def _read_line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not readable([handle], max(0.0, deadline - time.monotonic())):
                self.close()
                raise WorkerFailedError(
                    f"it took longer than {self._limit:g} s for one task of its turn; raise `turn_limit` to allow "
                    "more time"
                )
            piece = os.read(handle, 1 << 16)
            if not piece:
                raise WorkerFailedError(self._exit_reason())
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _exit_reason(self) -> str:
        try:
            status = self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process no longer responds, but has not ended"
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it printed nothing"])[-1]
        if status == -KILL:
            return "its process was killed, which usually means that memory ran out"
        if "No module named 'charkit" in last:
            return "its environment lacks this version of charkit; install it there, along with the backend"
        how = f"was killed by signal {signal_name(-status)}" if status < 0 else f"ended with status {status}"
        return f"its process {how}: {last:.200}"

    def close(self) -> None:
        """Ends the worker: an idle one sees the end of its input, a busy one is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if self._busy else EXIT_SECONDS)
        kill_group(self._process)  # whatever it has started itself goes along
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


class StartWorker(Protocol):
    """Starts the process of a variant: ``WorkerProcess`` itself, or what reuses processes that run already."""

    def __call__(
        self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0
    ) -> WorkerProcess: ...


def _parse_response(line: bytes) -> dict[str, Any]:
    """The response in a line. Raises WorkerFailedError where something else was printed there."""
    try:
        response = json.loads(line)
    except ValueError:
        response = None
    if not isinstance(response, dict):
        raise WorkerFailedError(
            f"it sent an unexpected response: {line.decode(errors='replace').strip():.200}"
        )
    return response
