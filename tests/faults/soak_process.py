"""One long training in this process, measured after every round: what ``test_soak`` judges.

Run as ``python -m faults.soak_process BACKEND ROUNDS SEED [PLANTED ...]``, with ``tests`` on the path; prints one JSON
object per round. A round is 1,000 training steps with four validations, samples and saves; after it, the run is loaded
and sampled once beside the training, as a reader would.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import charkit
from charkit import events
from charkit.charrnn import CharRNN
from charkit.machine import resident_bytes
from charkit.testing.memory import return_freed_memory
from charkit.training import saving, trainer
from support import SMALL, SMALL_TEXT

ROUND_STEPS = 1000
#: Validations, with their samples and saves, in a round.
PER_ROUND = 4
LEAKED_BYTES = 1024
#: What the planted faults hold on to.
_kept: list[Any] = []


def main(backend: str, rounds: int, seed: int, *planted: str) -> None:
    """Trains for so many rounds and prints what the process uses after each."""
    for name in planted:
        PLANTED[name]()
    began = time.monotonic()
    run = Path("soak")

    def measure(event: events.Event) -> None:
        if not isinstance(event, events.Saved) or event.step % ROUND_STEPS or event.step == 0:
            return
        charkit.load_run(run, threads=1).sample(length=10, seed=seed)
        gc.collect()
        return_freed_memory()
        record = {
            "step": event.step,
            "seconds": time.monotonic() - began,
            "processor_seconds": time.process_time(),
        }
        record |= {"memory": resident_bytes(), "files": _entries("fd"), "threads": _entries("task")}
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()

    charkit.train(
        string=SMALL_TEXT,
        run=run,
        backend=backend,
        threads=1,
        seed=seed,
        max_steps=rounds * ROUND_STEPS,
        epochs=rounds * ROUND_STEPS,
        eval_every=ROUND_STEPS // PER_ROUND,
        save_every=ROUND_STEPS // PER_ROUND,
        on_event=measure,
        **SMALL | {"log_every": 50, "dropout": 0.1},
    )


def _entries(kind: str) -> int:
    """How many files or threads this process has, as Linux lists them."""
    return len(os.listdir(f"/proc/self/{kind}"))


def _leak_memory() -> None:
    original = CharRNN.train_step

    def train_step(self: CharRNN, *arguments: Any, **options: Any) -> Any:
        _kept.append(bytearray(b"x" * LEAKED_BYTES))
        return original(self, *arguments, **options)

    CharRNN.train_step = train_step  # type: ignore[method-assign]


def _leave_a_file_open() -> None:
    original = saving.save_checkpoint

    def save_checkpoint(*arguments: Any, **options: Any) -> Any:
        path = original(*arguments, **options)
        _kept.append((path / "manifest.json").open("rb"))
        return path

    saving.save_checkpoint = save_checkpoint


def _leave_a_thread_running() -> None:
    original = trainer.evaluate

    def evaluate(*arguments: Any, **options: Any) -> Any:
        _kept.append(threading.Thread(target=threading.Event().wait, daemon=True))
        _kept[-1].start()
        return original(*arguments, **options)

    trainer.evaluate = evaluate


#: The planted faults by name: each does its harm once in a step, a save or a validation.
PLANTED = {"memory": _leak_memory, "files": _leave_a_file_open, "threads": _leave_a_thread_running}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
