"""The sweep's side of the processes that train trials: starts them, asks them, reads what they report, ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from charkit.system import signals
from charkit.system.processes import kill_group, own_group

#: What a session ends with: one of these is a key of its last line.
OUTCOMES = frozenset({"reached", "interrupted", "failed", "storage"})
#: How long a process without a trial may take to end by itself, which it does at once.
_END_SECONDS = 10.0


class SessionProcess:
    """A process that trains trials of one backend, one after the other.

    After ``begin``, ``read`` gives what is reported of the trial; the last of that is what came of it.
    """

    def __init__(self, backend: str) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "charkit_sweep.trial_session"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                **own_group(),  # Ctrl-C is for the sweep, which ends its trials itself
            )
        except OSError:
            self._log.close()
            raise
        assert self._process.stdout is not None
        self.backend = backend
        self.was_stopped = False
        self._unread = b""
        self._output = self._process.stdout.fileno()

    def begin(self, request: Mapping[str, Any]) -> None:
        """Asks for a session of a trial."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, which ``read`` finds
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def fileno(self) -> int:
        """Of the pipe that its reports come through."""
        return self._output

    def read(self) -> Iterator[dict[str, Any]]:
        """Yields what has come since the last call; waits if nothing has. An end without an outcome is a failure."""
        piece = os.read(self._output, 1 << 16)
        if not piece:
            yield self._ended_early()
            return
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for line in lines:
            with suppress(ValueError):  # a line of something else is none of a session's
                report = json.loads(line)
                if isinstance(report, dict):
                    yield report

    def stop(self) -> None:
        """Asks the process to save and end."""
        self.was_stopped = True
        with suppress(ProcessLookupError):
            self._process.terminate()

    def end(self) -> None:
        """Lets a process end by itself that has no trial in hand; one that doesn't is killed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self.close()

    def close(self) -> None:
        """Ends the process at once, with all that it has started, if it has not ended by itself."""
        if self._process.returncode is None:
            kill_group(self._process)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        self._log.close()

    def _ended_early(self) -> dict[str, Any]:
        status = self._process.wait()
        if self.was_stopped and status == -signal.SIGTERM:
            return {"interrupted": 0}  # it had not begun
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it printed nothing"])[-1]
        if status == -signals.KILL:
            return {"failed": "its process was killed, which usually means that memory ran out"}
        how = (
            f"was killed by signal {signals.signal_name(-status)}"
            if status < 0
            else f"ended with status {status}"
        )
        return {"failed": f"its process {how}: {last:.200}"}
