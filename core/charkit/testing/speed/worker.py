"""The worker of a speed measurement: one backend at one size, timed on request of the parent process.

Run as ``python -m charkit.testing.speed.worker``. It reads requests from standard input, one line of JSON each, and
answers with one line of JSON on standard output; the output of a framework goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from charkit import plugins
from charkit.cpu_contention import ContentionMeter
from charkit.errors import CharkitError
from charkit.machine import peak_bytes
from charkit.plugins.supervision import kept_process
from charkit.testing.speed.measurements import Size
from charkit.testing.speed.observe import Bench, Clock, observe_habits


class SpeedWorker:
    """Carries out requests; each action is the method of that name."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._size = Size(**request["size"])
        self._backend = plugins.create(
            request["backend"], device=request["device"], threads=request["threads"]
        )
        self._bench: Bench | None = None

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Creates the model, and runs its first step and prediction."""
        self._bench = Bench(self._backend, self._size)
        seconds = self._bench.warm_up()
        return {
            "first_step_seconds": seconds,
            "device": self._backend.device,
            "threads": self._backend.threads,
            "versions": self._backend.versions(),
        }

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Trains for some seconds."""
        assert self._bench is not None
        meter = ContentionMeter()
        rate = self._bench.train(request["seconds"])
        return {"rate": rate, "other_processors": meter.processors()}

    def sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Samples for some seconds."""
        assert self._bench is not None
        return {"rate": self._bench.sample(request["seconds"])}

    def memory(self, request: dict[str, Any]) -> dict[str, Any]:
        """The peak memory of this process and its device so far."""
        return {
            "peak_memory_bytes": peak_bytes(),
            "device_memory_bytes": self._backend.device_memory_bytes(),
        }

    def calls(self, request: dict[str, Any]) -> dict[str, Any]:
        """Times predictions of another model."""
        bench = Bench(self._backend, Size(**request["of"]), self._clock())
        bench.warm_up()
        return asdict(bench.calls(request["seconds"]))

    def habits(self, request: dict[str, Any]) -> dict[str, Any]:
        """Observes the backend's behavior; calls of the backend are counted from now on."""
        return asdict(observe_habits(self._backend, self._size, clock=self._clock(), steps=request["steps"]))

    def _clock(self) -> Clock:
        """Processor time, which other programs affect little, unless another device computes."""
        return time.process_time if self._backend.device == "cpu" else time.perf_counter


def main() -> None:
    """Carries out requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a framework's output must not mix with the answers
    worker: SpeedWorker | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            worker = worker or SpeedWorker(request)
            with kept_process():  # a process that the backend forks off must not answer as well
                answer = getattr(worker, request["action"])(request)
        except MemoryError as error:
            answer = {"error": f"out of memory: {error}" if str(error) else "out of memory"}
        except Exception as error:  # noqa: BLE001 - any error of a framework is the answer
            kind = "" if isinstance(error, CharkitError) else f"{type(error).__name__}: "
            answer = {"error": f"{kind}{' '.join(str(error).split())}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # threads of a framework must not keep the process alive


if __name__ == "__main__":
    main()
