"""Measures what a training step on workers consists of, and computes how long one takes with any number of them.

    python -m benchmarks scaling                           # local workers: measure, predict 1, 2 and 4, and check
    python -m benchmarks scaling --engine ray              # the same on a Ray cluster of this machine
    python -m benchmarks scaling --write docs/scaling.md   # and put the figures into the page

A step with W workers, whose batch has S shards, takes

    share(weights) + latency + S / P * shard + worker(weights) + W * driver(gradients) + (W - 1) * add + update

where P is the smaller of W and the processors. Everything in it is measured, in seconds, with one worker and in this
process; the prediction for several workers is then compared with steps on as many. For a cluster, P is W, and the
network is added: the weights go to each node once, and each worker's gradients come to the driver, which one link of
the given speed takes one after the other.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from benchmarks.arguments import positive_integer
from benchmarks.step_parts import REPEATS, Parts, Size, Subject
from benchmarks.turns import machine

BEGIN, END = "<!-- figures: written by benchmarks/scaling.py -->", "<!-- end of figures -->"


def report_parts(parts: Parts, size: Size) -> list[str]:
    """The measured parts as a table."""
    rows = [
        ("gradient of a shard", f"{1000 * parts.shard:.2f} ms"),
        ("weights shared", f"{1000 * parts.share:.2f} ms, {parts.weight_bytes / 1e6:.2f} MB"),
        ("latency of an empty call", f"{1000 * parts.latency:.2f} ms"),
        ("a worker loads and prepares the weights", f"{1000 * parts.worker:.2f} ms"),
        (
            "the driver sends a block and receives gradients (per worker)",
            f"{1000 * parts.driver:.2f} ms, {(parts.weight_bytes + parts.block_bytes) / 1e6:.2f} MB",
        ),
        ("adding the gradients of one worker", f"{1000 * parts.add:.2f} ms"),
        ("clipping, Adam, copies", f"{1000 * parts.update:.2f} ms"),
    ]
    return ["", f"| {size} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def checked(subject: Subject, parts: Parts, steps: int) -> list[str]:
    """Predictions beside real steps, as a table."""
    processors = os.cpu_count() or 1
    lines = ["", "| workers | predicted, s | measured, s | predicted / measured |", "|---|---|---|---|"]
    alone = subject.measured(None, steps)
    predicted = subject.size.shards * parts.shard + parts.update
    lines.append(f"| none: one process | {predicted:.4f} | {alone:.4f} | {predicted / alone:.2f} |")
    for workers in (1, 2, 4):
        print(f"{subject.size}: {workers} workers", file=sys.stderr)
        predicted, found = parts.step(subject.size, workers, processors), subject.measured(workers, steps)
        lines.append(f"| {workers} | {predicted:.4f} | {found:.4f} | {predicted / found:.2f} |")
    return lines


def beside_threads(options: argparse.Namespace, workers: int, rows: int) -> list[str]:
    """One process of several threads beside as many workers of one, on a batch that each takes a share of."""
    size = Size(options.units, rows, workers)
    print(f"{size}: beside {workers} threads", file=sys.stderr)
    alone, sharded = Subject(size, options).beside_threads(workers, max(options.steps, 7))
    ratios = sorted(one / other for one, other in zip(alone, sharded, strict=True))
    low, middle, high = quantiles(ratios, n=4)
    return [
        "",
        f"{workers} workers with one thread each, compared with one process with {workers} threads, measured "
        f"alternately, for {size}: "
        f"{median(sharded):.3f} s and {median(alone):.3f} s per step (medians). The median of the paired speed ratios "
        f"is {middle:.2f} (quartiles {low:.2f} to {high:.2f}).",
    ]


def computed(parts: Parts, size: Size, options: argparse.Namespace) -> list[str]:
    """Steps on clusters, as a table: computed, not measured."""
    speed = options.gigabits * 1e9 / 8
    alone = size.shards * parts.shard + parts.update
    lines = [
        "",
        "| workers | nodes | step, s | of which: gradients of shards | of which: receiving gradients "
        "| characters per second | times as fast as one process |",
        "|---|---|---|---|---|---|---|",
    ]
    lines.append(
        f"| none | 1 | {alone:.2f} | {size.shards * parts.shard:.2f} | - | {size.symbols / alone:,.0f} | 1.0 |"
    )
    for workers in options.workers:
        nodes = -(-workers // options.per_node)
        step = parts.step(size, workers, workers, speed, nodes)
        receiving = max(workers * parts.weight_bytes / speed, workers * parts.driver)
        lines.append(
            f"| {workers} | {nodes} | {step:.2f} | {size.shards / workers * parts.shard:.2f} | {receiving:.2f} "
            f"| {size.symbols / step:,.0f} | {alone / step:.1f} |"
        )
    return lines


def write(page: Path, lines: Sequence[str], begin: str = BEGIN, end: str = END) -> None:
    """Replaces what is between the two marks of the page."""
    text = page.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no lines {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n\n{chr(10).join(lines)}\n\n{end}{after}", "utf-8")


def main() -> None:
    """Measures, predicts, checks and computes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", default="local", help="local or ray (default: %(default)s)")
    parser.add_argument("--address", help="where the engine is")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--steps", type=positive_integer, default=REPEATS, help="real steps of each check")
    parser.add_argument(
        "--units", type=positive_integer, default=512, help="units of the model that is checked"
    )
    parser.add_argument(
        "--large",
        type=positive_integer,
        default=1024,
        help="units of the model that is computed for clusters",
    )
    parser.add_argument(
        "--workers", type=positive_integer, nargs="+", default=[4, 16, 64, 256], help="workers of clusters"
    )
    parser.add_argument(
        "--per-node", type=positive_integer, default=16, help="workers on each node of a cluster"
    )
    parser.add_argument("--gigabits", type=float, default=10.0, help="speed of the driver's network link")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page whose figures are replaced")
    options = parser.parse_args()
    if options.engine == "local" and options.address:
        parser.error("--address is for engines on other machines")

    small, large = Size(options.units, 13, 8), Size(options.large, 4, 256)
    checks = Subject(small, options)
    parts = checks.parts()
    lines = [
        f"`{' '.join(['python -m benchmarks scaling', *sys.argv[1:]])}`",
        "",
        f"{machine()}; engine {options.engine}, backend {options.backend}, one thread for each process; "
        f"{datetime.now(UTC):%Y-%m-%d}; medians of {options.steps} or more measurements.",
        "",
        "Measured:",
        *report_parts(parts, small),
        "",
        "Predicted from these parts, and measured again with real workers:",
        *checked(checks, parts, options.steps),
        *beside_threads(options, 2, 50),
    ]
    del checks
    print(f"{large}: parts", file=sys.stderr)
    parts = Subject(large, options).parts()
    lines += [
        "",
        "Measured:",
        *report_parts(parts, large),
        "",
        f"Computed from these parts, for nodes of {options.per_node} workers and a link of {options.gigabits:g} Gbit/s "
        "to the driver; none of this was run:",
        *computed(parts, large, options),
    ]
    print("\n".join(lines))
    if options.write:
        write(options.write, lines)


if __name__ == "__main__":
    main()
