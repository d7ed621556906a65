"""Participants in processes of their own that take turns, so that a busy moment hits all of them.

A participant is a Python module that reads lines from standard input, and answers each with one line of JSON. Two
frameworks in one process would share thread pools, and can crash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from charkit.machine import processor_flags, processor_name

#: How many threads each library has, said to all that a participant may use.
_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Worker:
    """A process that works on request, and is idle otherwise."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        threads: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        variables = {**os.environ, **dict.fromkeys(_COUNTS, str(threads)), **(environment or {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--participant", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )

    def work(self, order: str) -> dict[str, Any]:
        """Gives an order and waits for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and there is no answer either
            print(order, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}")
        return dict(json.loads(line))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Participant:
    """One or more processes that do the same: some frameworks differ from process to process."""

    name: str
    module: str
    arguments: Sequence[str]
    threads: int
    processes: int = 1
    environment: Mapping[str, str] | None = None
    results: list[list[dict[str, Any]]] = field(default_factory=list)  # by round and process

    def __post_init__(self) -> None:
        self._workers = [
            Worker(self.name, self.module, self.arguments, self.threads, self.environment)
            for _ in range(self.processes)
        ]

    def work(self, order: str) -> list[dict[str, Any]]:
        """The answers of all processes, one after the other."""
        return [worker.work(order) for worker in self._workers]

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._workers:
            worker.close()

    def values(self, key: str) -> list[list[float]]:
        """One result of each process in each round, ``[round][process]``."""
        return [[float(answer[key]) for answer in answers] for answers in self.results]


def take_turns(participants: Sequence[Participant], rounds: int) -> None:
    """Warms all up, then lets each work once per round; the answers are collected in their ``results``."""
    for participant in participants:
        participant.work("warm")
        print(f"{participant.name} is warm", file=sys.stderr)
    for number in range(rounds):
        for participant in participants:
            participant.results.append(participant.work("go"))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)


def answer_orders(work: Callable[[], Any], warm: Callable[[], Any]) -> None:
    """In the worker process: answers each line from standard input until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints must not mix with the answers
    for line in sys.stdin:
        result = warm() if line.strip() == "warm" else work()
        print(json.dumps(result or {}), file=answers, flush=True)


def machine() -> str:
    """The processor and what decides speed on it."""
    names = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    flags = " ".join(name for name in names if name in processor_flags())
    return f"{processor_name()}, {os.cpu_count()} cores, {flags}"
