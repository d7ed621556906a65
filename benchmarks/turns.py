"""Contestants in processes of their own that take turns, so that a busy moment hits all of them.

A contestant is a Python program that reads lines from standard input, and answers each with one line of
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


class Contestant:
    """A child process that works when it is told to, and is idle otherwise."""

    def __init__(self, name: str, program: Path, arguments: Sequence[str], threads: int) -> None:
        self.name = name
        self.results: list[dict[str, Any]] = []
        counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(counts, str(threads))}
        self._child = subprocess.Popen(
            [sys.executable, str(program), "--contestant", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def work(self, order: str) -> dict[str, Any]:
        """Gives an order and waits for the answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(order, file=self._child.stdin, flush=True)
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._child.wait()}")
        return dict(json.loads(line))

    def close(self) -> None:
        """Ends the child."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


def take_turns(contestants: Sequence[Contestant], rounds: int) -> None:
    """Warms everyone up, then lets each work once per round; the answers gather in ``results``."""
    for contestant in contestants:
        contestant.work("warm")
    for number in range(rounds):
        for contestant in contestants:
            contestant.results.append(contestant.work("go"))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)


def ratio_table(contestants: Sequence[Contestant], key: str, unit: str, peers: Mapping[str, str]) -> str:
    """Median, range, and the median of the ratios to each one's peer, paired by round, as a Markdown table."""
    by_name = {contestant.name: contestant for contestant in contestants}
    rows = [f"| contestant | {unit}, median | lowest to highest | ratio to its peer |", "|---|---|---|---|"]
    for contestant in contestants:
        values = [result[key] for result in contestant.results]
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        told = "-"
        if (peer := peers.get(contestant.name)) in by_name:
            others = [result[key] for result in by_name[peer].results]
            ratios = [value / other for value, other in zip(values, others, strict=True)]
            told = f"{median(ratios):.2f} of {peer}"
        rows.append(f"| {contestant.name} | {median(values):,.0f} | {spread} | {told} |")
    return "\n".join(rows)


def answer_orders(work: Any, warm: Any) -> None:
    """The child's side: answers each line from standard input until there are no more."""
    for line in sys.stdin:
        result = warm() if line.strip() == "warm" else work()
        print(json.dumps(result or {}), flush=True)


def machine() -> str:
    """The processor and what decides speed on it."""
    names = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    flags = " ".join(name for name in names if name in processor_flags())
    return f"{processor_name()}, {os.cpu_count()} cores, {flags}"
