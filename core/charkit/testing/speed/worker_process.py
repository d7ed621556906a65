"""The parent side of a measuring worker process: sends requests and reports failures in one line."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from types import TracebackType
from typing import Any

from charkit.errors import BackendError
from charkit.system.signals import signal_name
from charkit.testing.speed.measurements import Size

#: Set for all libraries, so that they use the same number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Seconds that one request may take.
LIMIT_SECONDS = 300.0
#: Seconds that a worker may take to exit.
_EXIT_SECONDS = 5.0


class WorkerProcess:
    """One backend at one size in its own process. A request that fails raises BackendError."""

    def __init__(self, backend: str, size: Size, *, device: str | None, threads: int) -> None:
        self._backend = backend
        self._settings = {"backend": backend, "size": asdict(size), "device": device, "threads": threads}
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "charkit.testing.speed.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(_THREADS, str(threads))},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()  # no more requests
            self._process.wait(0 if kind else _EXIT_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def request(self, action: str, **details: Any) -> dict[str, Any]:
        """Sends a request and waits for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"action": action, **self._settings, **details}) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=LIMIT_SECONDS)
        except BrokenPipeError:
            line = ""
        except queue.Empty:
            raise BackendError(
                f"{self._backend}: its process did not finish {action!r} within {LIMIT_SECONDS:.0f} s"
            ) from None
        if not line:
            raise BackendError(f"{self._backend}: {self._exit_description()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BackendError(f"{self._backend}: {answer['error']}")
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")  # end of output

    def _exit_description(self) -> str:
        status = self._process.wait(_EXIT_SECONDS)
        self._errors.seek(0)
        last_line = (self._errors.read().strip().splitlines() or ["it printed nothing"])[-1]
        exit_text = (
            f"was killed by signal {signal_name(-status)}" if status < 0 else f"ended with status {status}"
        )
        return f"its process {exit_text}: {last_line:.200}"
