"""Time of a training step per character as one thing grows at a time: units, layers, batch, steps, vocabulary.

python -m benchmarks growth --picture docs/pictures/growth.png

Each point is the fastest of some steps, in a process of its own; beside it stands what the matrix products alone would
take at the machine's limit, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Size, training_flops
from benchmarks.machine_limit import measure_limit
from benchmarks.results import Measured, Result, add_options, command_line, number, show

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
BASE = {"lstm_size": 128, "num_layers": 2, "batch_size": 64, "num_steps": 50, "vocabulary_size": 80}
#: What grows, and to what.
GROWTH = {
    "lstm_size": (64, 128, 256, 512, 1024, 2048),
    "num_layers": (1, 2, 3, 4),
    "batch_size": (1, 8, 32, 64, 128, 256),
    "num_steps": (10, 25, 50, 100, 200),
    "vocabulary_size": (2, 80, 300, 1000, 3000, 10_000),
}
QUICK = {"lstm_size": (8, 16)}
#: Steps of a point: until this many seconds have passed, and three at least.
SECONDS = 1.5


def work(options: argparse.Namespace) -> None:
    """In the worker process: prints nanoseconds per character for each shape that it reads from its arguments."""
    from charkit import CharRNN

    shape = json.loads(options.shape)
    network = CharRNN(backend=options.participant, threads=options.threads, **shape)
    symbols = np.random.default_rng(0).integers(
        0, shape["vocabulary_size"], (shape["batch_size"], shape["num_steps"]), dtype=np.int32
    )
    _ = network.train_step(symbols, symbols).loss
    fastest, began, count = float("inf"), time.perf_counter(), 0
    while count < 3 or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        _ = network.train_step(symbols, symbols).loss
        fastest = min(fastest, time.perf_counter() - start)
        count += 1
    print(json.dumps({"nanoseconds": 1e9 * fastest / symbols.size}))


def main() -> None:
    """Measures, prints a table, and draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    add_options(parser, rounds=1)
    options = parser.parse_args()
    if options.participant:
        work(options)
        return
    growth: dict[str, tuple[int, ...]] = dict(QUICK if options.quick else GROWTH)
    backends = options.backends[:1] if options.quick else options.backends
    gigaflops = measure_limit("tiny" if options.quick else "2x128", options.threads)["float32"]
    values = []
    for what, sizes in growth.items():
        for size in sizes:
            shape = BASE | {what: size}
            for backend in backends:
                name = f"{backend}, {what} {size}"
                points = [[_point(backend, shape, options)] for _ in range(options.rounds)]
                values.append(Measured(name, points))
                print(f"{name}: {number(values[-1].median)} ns", file=sys.stderr)
            flops = training_flops(_size(shape), shape["vocabulary_size"])
            values.append(Measured(f"limit, {what} {size}", [[flops / gigaflops]]))
    title = "Training, one thing growing at a time, from " + json.dumps(BASE)
    result = Result("growth", title, "ns per character", command_line("growth"), values, options.threads)
    show(result, options)
    if options.picture:
        draw(result, growth, [*backends, "limit"], options.picture)


def _size(shape: dict[str, int]) -> Size:
    return Size(shape["num_layers"], shape["lstm_size"], shape["batch_size"], shape["num_steps"])


def _point(backend: str, shape: dict[str, int], options: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.growth", "--participant", backend]
    command += ["--shape", json.dumps(shape), "--threads", str(options.threads)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(json.loads(output.splitlines()[-1])["nanoseconds"])


def growth_table(result: Result) -> str:
    """The result as a Markdown table: a row for each shape, and how many times the limit's time each backend takes."""
    shapes = [
        name for one in result.participants for kind, _, name in [one.name.partition(", ")] if kind == "limit"
    ]
    backends = dict.fromkeys(one.name.partition(", ")[0] for one in result.participants)
    names = [name for name in backends if name != "limit"]
    rows = [
        "| shape | limit, ns per character | "
        + " | ".join(f"{name}, times the limit" for name in names)
        + " |"
    ]
    rows.append("|---|---|" + "---|" * len(names))
    for shape in shapes:
        medians = {name: result.participant(f"{name}, {shape}") for name in backends}
        limit = medians["limit"]
        assert limit is not None
        cells = [number(one.median / limit.median) if (one := medians[name]) else "-" for name in names]
        rows.append(f"| {shape} | {number(limit.median)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def draw(result: Result, growth: dict[str, tuple[int, ...]], names: list[str], path: Path) -> None:
    """One panel for each thing that grows, with a curve for each backend and for the limit."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    columns = min(3, len(growth))
    rows = -(-len(growth) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 3.1 * rows), sharey=True, layout="constrained", squeeze=False
    )
    axes: Any
    for axes, (what, sizes) in zip(panels.flat, growth.items(), strict=False):
        for name in names:
            points = [result.participant(f"{name}, {what} {size}") for size in sizes]
            style = (
                {"color": "gray", "linestyle": "--"} if name == "limit" else {"marker": "o", "markersize": 3}
            )
            axes.plot(sizes, [point.median for point in points if point], label=name, **style)
        axes.set(xscale="log", yscale="log", xlabel=what)
        axes.set_xticks(sizes, [f"{size // 1000}k" if size % 1000 == 0 else str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    for row in panels:
        row[0].set_ylabel("nanoseconds per character")
    for axes in panels.flat[len(growth) :]:
        axes.axis("off")
    panels.flat[-1].legend(*panels[0][0].get_legend_handles_labels(), loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
