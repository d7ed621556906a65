"""The parent's side of a child: gives orders, waits for answers, and says in a line what went wrong."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from charkit_comparison.plan import Plan, Variant

#: Told to every library, so that all take the same number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Seconds that a child may take to leave once it has nothing to do.
PATIENCE_SECONDS = 5.0


class ChildFailedError(Exception):
    """A child could not do what it was told, died, or took too long; the message is one line."""


class Child:
    """One variant's process, reached by ``order`` only. Raises OSError where its interpreter can't be run.

    ``steps`` are the training steps that it will be asked for, by default those of the plan. As
    ``control`` 1, 2, ... it starts from weights that are moved by one rounding unit, each time others.
    """

    def __init__(self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0) -> None:
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(plan.threads))}
        if variant.module is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # some frameworks take a GPU unasked
        try:
            self._process = subprocess.Popen(
                [variant.python or sys.executable, "-P", "-m", "charkit_comparison.processes.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children itself
            )
        except OSError:
            self._said.close()
            raise
        self.backend = variant.backend
        self._rest = b""
        self._busy = False
        self.begin(variant, plan, steps, control=control)

    def begin(self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0) -> None:
        """Says what ``prepare`` is to make: the first model of the process, or another one in its place."""
        self._limit = plan.turn_limit_seconds
        self._begun: dict[str, Any] = {
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
    def is_usable(self) -> bool:
        """Whether the process waits for an order."""
        return not self._busy and self._process.poll() is None

    def prepare(self) -> dict[str, Any]:
        """Has the child make its model."""
        return self.order("prepare", **self._begun)

    def order(self, what: str, **details: Any) -> dict[str, Any]:
        """Gives an order and waits for the answer. Raises ChildFailedError."""
        assert self._process.stdin is not None
        self._busy = True
        try:
            self._process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildFailedError(self._how_it_ended()) from error
        answer = _object(self._line())
        self._busy = False
        if "error" in answer:
            raise ChildFailedError(str(answer["error"]))
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        until = time.monotonic() + self._limit
        handle = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self.close()
                raise ChildFailedError(
                    f"took longer than {self._limit:.0f} s for one task of a turn; --turn-limit gives it more"
                )
            piece = os.read(handle, 1 << 16)
            if not piece:
                raise ChildFailedError(self._how_it_ended())
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process stopped answering, and is there still"
        self._said.seek(0)
        last = (self._said.read().strip().splitlines() or ["it said nothing"])[-1]
        if status == -signal.SIGKILL:
            return "its process was killed, as a system does when memory runs out"
        if "No module named 'charkit" in last:
            return "its environment lacks this charkit; install it there, with the backend"
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return f"its process ended with {how}: {last:.200}"

    def close(self) -> None:
        """Ends the child: one that waits for orders is told that there are no more, another is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if self._busy else PATIENCE_SECONDS)
        with suppress(ProcessLookupError):  # whatever it has started itself is in its session, and goes along
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._said.close()


class StartChild(Protocol):
    """Starts the process of a variant: ``Child`` itself, or what hands out processes that run already."""

    def __call__(
        self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0
    ) -> Child: ...


def _object(line: bytes) -> dict[str, Any]:
    """The answer in a line. Raises ChildFailedError where something else was printed there."""
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ChildFailedError(f"answered with something else: {line.decode(errors='replace').strip():.200}")
    return answer


def scratch(plan: Plan, name: str) -> Path:
    """A file in the plan's folder."""
    return plan.folder / f"{name}.safetensors"
