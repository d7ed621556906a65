"""Participants in processes of their own that take turns, so that a busy moment hits all of them.

A participant is a Python program that reads lines from standard input, and answers each with one line of
JSON. Two frameworks in one process would share thread pools, and can crash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from charkit.machine import processor_flags, processor_name


class Participant:
    """A worker process that works on request, and is idle otherwise."""

    def __init__(self, name: str, program: Path, arguments: Sequence[str], threads: int) -> None:
        self.name = name
        self.results: list[dict[str, Any]] = []
        counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(counts, str(threads))}
        self._process = subprocess.Popen(
            [sys.executable, str(program), "--participant", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def work(self, order: str) -> dict[str, Any]:
        """Gives an order and waits for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
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


def take_turns(participants: Sequence[Participant], rounds: int) -> None:
    """Warms all up, then lets each work once per round; the answers are collected in their ``results``."""
    for participant in participants:
        participant.work("warm")
    for number in range(rounds):
        for participant in participants:
            participant.results.append(participant.work("go"))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)


def ratio_table(participants: Sequence[Participant], key: str, unit: str, peers: Mapping[str, str]) -> str:
    """Median, range, and the median of the ratios to each one's peer, paired by round, as a Markdown table."""
    by_name = {participant.name: participant for participant in participants}
    rows = [f"| participant | {unit}, median | lowest to highest | ratio to its peer |", "|---|---|---|---|"]
    for participant in participants:
        values = [result[key] for result in participant.results]
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        ratio = "-"
        if (peer := peers.get(participant.name)) in by_name:
            others = [result[key] for result in by_name[peer].results]
            ratios = [value / other for value, other in zip(values, others, strict=True)]
            ratio = f"{median(ratios):.2f} of {peer}"
        rows.append(f"| {participant.name} | {median(values):,.0f} | {spread} | {ratio} |")
    return "\n".join(rows)


def answer_orders(work: Any, warm: Any) -> None:
    """In the worker process: answers each line from standard input until there are no more."""
    for line in sys.stdin:
        result = warm() if line.strip() == "warm" else work()
        print(json.dumps(result or {}), flush=True)


def machine() -> str:
    """The processor and what decides speed on it."""
    names = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    flags = " ".join(name for name in names if name in processor_flags())
    return f"{processor_name()}, {os.cpu_count()} cores, {flags}"
