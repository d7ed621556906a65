"""What the machine can do at best: matrix products, in the same run and with the same threads as what is measured.

As a participant it measures the products of the model's own shapes and a large square one, in NumPy and, where it is
installed, in PyTorch; the fastest is the limit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.cases import SIZES, Size
from benchmarks.turns import Worker, answer_orders

_SQUARE = 1536
_SECONDS = 0.3


def shapes_of(size: Size) -> list[tuple[int, int, int]]:
    """Rows, inner and columns of the largest product of the model, and of a large square one."""
    return [(size.batch_symbols, size.lstm_size, 4 * size.lstm_size), (_SQUARE, _SQUARE, _SQUARE)]


def gigaflops(size: Size, threads: int) -> dict[str, float]:
    """The most floating-point operations per second, in thousand millions, by precision."""
    best: dict[str, float] = {}
    for precision, rows, inner, columns, product in _products(size, threads):
        rate = 2e-9 * rows * inner * columns / _fastest(product)
        best[precision] = max(best.get(precision, 0.0), rate)
    return best


def _products(size: Size, threads: int) -> Iterator[tuple[str, int, int, int, Callable[[], Any]]]:
    for rows, inner, columns in shapes_of(size):
        left, right = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
        out = np.empty((rows, columns), np.float32)
        yield (
            "float32",
            rows,
            inner,
            columns,
            lambda left=left, right=right, out=out: np.matmul(left, right, out),
        )
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(threads)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for rows, inner, columns in shapes_of(size):
            first, second = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
            yield precision, rows, inner, columns, lambda one=first, other=second: torch.mm(one, other)


def _fastest(product: Callable[[], Any]) -> float:
    """Seconds of the fastest call."""
    product()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return best


def measure_limit(size: str, threads: int) -> dict[str, float]:
    """The limit, measured in a process of its own."""
    arguments = ["--size", size, "--threads", str(threads)]
    worker = Worker("limit", "benchmarks.machine_limit", arguments, threads)
    try:
        return worker.work("go")
    finally:
        worker.close()


def main() -> None:
    """The worker process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--participant", required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answer_orders(lambda: gigaflops(SIZES[options.size], options.threads), lambda: None)


if __name__ == "__main__":
    main()
