"""The worker of a speed measurement: one backend at one size, timed on request of the parent process.

Run as ``python -m charkit.testing.speed.worker``. It reads one order per line from standard input, as JSON, and
answers each with one line of JSON on what was standard output; whatever a framework prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from charkit import plugins
from charkit.contention import ContentionMeter
from charkit.errors import CharkitError
from charkit.machine import peak_bytes
from charkit.testing.speed.measurements import Size
from charkit.testing.speed.observe import Bench, Clock, observe_habits


class Worker:
    """Carries out orders, each a method of the same name."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._size = Size(**order["size"])
        self._backend = plugins.create(order["backend"], device=order["device"], threads=order["threads"])
        self._bench: Bench | None = None

    def prepare(self, order: dict[str, Any]) -> dict[str, Any]:
        """Makes the model, steps and predicts for the first time."""
        self._bench = Bench(self._backend, self._size)
        seconds = self._bench.warm_up()
        return {
            "first_step_seconds": seconds,
            "device": self._backend.device,
            "threads": self._backend.threads,
            "versions": self._backend.versions(),
        }

    def train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Trains for some seconds."""
        assert self._bench is not None
        others = ContentionMeter()
        rate = self._bench.train(order["seconds"])
        return {"rate": rate, "other_processors": others.processors()}

    def sample(self, order: dict[str, Any]) -> dict[str, Any]:
        """Samples for some seconds."""
        assert self._bench is not None
        return {"rate": self._bench.sample(order["seconds"])}

    def memory(self, order: dict[str, Any]) -> dict[str, Any]:
        """The most memory that this process and its device have held so far."""
        return {
            "peak_memory_bytes": peak_bytes(),
            "device_memory_bytes": self._backend.device_memory_bytes(),
        }

    def calls(self, order: dict[str, Any]) -> dict[str, Any]:
        """Times calls of a prediction of another model."""
        bench = Bench(self._backend, Size(**order["of"]), self._clock())
        bench.warm_up()
        return asdict(bench.calls(order["seconds"]))

    def habits(self, order: dict[str, Any]) -> dict[str, Any]:
        """Observes habits; what the backend is asked for is counted from now on."""
        return asdict(observe_habits(self._backend, self._size, clock=self._clock(), steps=order["steps"]))

    def _clock(self) -> Clock:
        """Seconds of the processor, which other programs don't disturb, unless another device computes."""
        return time.process_time if self._backend.device == "cpu" else time.perf_counter


def main() -> None:
    """Carries out orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a framework prints is no answer
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            order = json.loads(line)
            worker = worker or Worker(order)
            answer = getattr(worker, order["do"])(order)
        except MemoryError as error:
            answer = {"error": f"out of memory: {error}"}
        except Exception as error:  # noqa: BLE001 - whatever a framework raises is the outcome
            kind = "" if isinstance(error, CharkitError) else f"{type(error).__name__}: "
            answer = {"error": f"{kind}{' '.join(str(error).split())}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # a framework's threads must not keep the process


if __name__ == "__main__":
    main()
