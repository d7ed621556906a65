"""What does ``toolkit compare`` miss? Plants mistakes in the NumPy backend, and compares it with the right one.

    python -m benchmarks misses faults --out misses.jsonl     # the planted faults of tests/conformance
    python -m benchmarks misses mutants --count 150 --out misses.jsonl    # mutants of the NumPy backend
    python -m benchmarks misses subtle                        # mistakes of a size: the smallest that is found
    python -m benchmarks misses report misses.jsonl

Each mistake is compared under several settings, since most show only under some. Everything runs in this process;
each mutant in a fork of it. A mistake that changes nothing, or no more than rounding does,
has no effect under a setting.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.arguments import input_file, output_file  # noqa: E402
from benchmarks.local_comparison import SETTINGS, compare_locally, install, make_text, record  # noqa: E402
from benchmarks.subtle_mistakes import SUBTLE, Make  # noqa: E402
from charkit_numpy.backend import NumpyBackend  # noqa: E402 - after the path to the tests

#: Seconds after which a mutant counts as found: it hangs.
LIMIT_SECONDS = 60


# ---- planted faults -------------------------------------------------------------------------------------------


def planted() -> Iterator[tuple[str, Make]]:
    """Every fault of the tests of the conformance kit that is a backend class of its own."""
    from conformance import planted as table
    from conformance import test_names

    seen: set[int] = set()
    for found in (table.FAULTS, test_names.FAULTS):
        for fault in found:
            if id(fault.backend) not in seen:
                seen.add(id(fault.backend))
                yield fault.what, fault.backend


def faults(options: argparse.Namespace) -> None:
    """Compares every planted fault under every setting."""
    chosen = islice(planted(), options.start, None)
    _each(((what, lambda make=make: (NumpyBackend, make)) for what, make in chosen), options)


def _each(
    mistakes: Iterable[tuple[str, Callable[[], tuple[Make, Make]]]], options: argparse.Namespace
) -> None:
    """Compares each mistake in a fork, so that one that hangs or changes the process harms nothing."""
    with tempfile.TemporaryDirectory() as folder, options.out.open("a") as file:
        text, lines = make_text(Path(folder)), Path(folder) / "lines"
        for number, (what, load) in enumerate(mistakes):
            lines.write_text("")
            found = _forked(lambda what=what, load=load: _compare_all(what, load, text, lines))
            records = [json.loads(line) for line in lines.read_text().splitlines()]
            if not found:
                records.append({"mistake": what, "setting": "", "effect": True, "found": True, "accused": [],
                             "array": "it hangs or ends the process", "share_of_bound": None,
                             "times_the_control": None, "verdict": ""})  # fmt: skip
            for line in records:
                print(json.dumps(line), file=file, flush=True)
            effect = [line for line in records if line["effect"]]
            missed = [line["setting"] for line in effect if not line["found"]]
            print(f"{number}: {what}: effect in {len(effect)}, missed in {missed}", file=sys.stderr)


def _compare_all(what: str, load: Callable[[], tuple[Make, Make]], text: Path, lines: Path) -> None:
    try:
        right, wrong = load()
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything when it is imported
        broken = {
            "mistake": what,
            "setting": "",
            "effect": True,
            "found": True,
            "accused": ["wrong"],
            "array": "",
        }
        broken |= {"share_of_bound": None, "times_the_control": None, "verdict": f"not imported: {error}"}
        with lines.open("a") as file:
            print(json.dumps(broken), file=file)
        return
    for name, setting in SETTINGS.items():
        line = record(what, name, compare_locally(right, wrong, setting, text))
        with lines.open("a") as file:
            print(json.dumps(line), file=file)


def _forked(act: Callable[[], None]) -> bool:
    """Whether the action ended in time and in peace, in a process of its own."""
    process = os.fork()
    if process == 0:
        status = 1
        with contextlib.suppress(BaseException), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            act()
            status = 0
        os._exit(status)
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


# ---- mutants --------------------------------------------------------------------------------------------------


def mutants(options: argparse.Namespace) -> None:
    """Compares mutants of the NumPy backend under every setting."""
    from mutation.drawing import all_mutants, draw
    from mutation.targets import TARGETS

    target = TARGETS["numpy"]

    def load(file: str, source: str) -> tuple[Make, Make]:
        folder = Path(tempfile.mkdtemp(prefix="charkit-mutant-"))
        target.write(folder, {file: source})
        package = folder / "charkit_mutant"
        (folder / target.package).rename(package)
        for path in package.glob("*.py"):
            path.write_text(path.read_text("utf-8").replace(target.package, "charkit_mutant"), "utf-8")
        sys.path.insert(0, str(folder))
        return NumpyBackend, importlib.import_module("charkit_mutant.backend").NumpyBackend

    drawn = draw(all_mutants(target), options.seed, options.count)
    chosen = [mutant for mutant in drawn if mutant.file != "plugin.py"]
    _each(
        ((one.identity, lambda one=one: load(one.file, one.source)) for one in chosen),
        options,
    )


# ---- mistakes of a size ---------------------------------------------------------------------------------------


def subtle(options: argparse.Namespace) -> None:
    """For each mistake the smallest size that is found."""
    setting = {**SETTINGS["plain"], "data": {"batch_size": 64, "num_steps": 20}}
    print("| mistake | smallest size found | largest not found |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        text = make_text(Path(folder))
        text.write_text(text.read_text("utf-8") * 8, "utf-8")
        for what, sized, sizes, steps in SUBTLE:
            found = {
                size: not compare_locally(NumpyBackend, sized(size), setting, text, steps=steps).agree
                for size in sizes
            }
            smallest = min((size for size, is_found in found.items() if is_found), default=math.nan)
            missed = max((size for size, is_found in found.items() if not is_found), default=math.nan)
            print(f"| {what} | {smallest:g} | {missed:g} |", flush=True)


def report(options: argparse.Namespace) -> None:
    """What was found, and every miss."""
    lines = [json.loads(line) for path in options.files for line in path.read_text().splitlines()]
    mistakes: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        mistakes.setdefault(line["mistake"], []).append(line)
    effective = {what: [line for line in group if line["effect"]] for what, group in mistakes.items()}
    effective = {what: group for what, group in effective.items() if group}
    missed = {what: [line for line in group if not line["found"]] for what, group in effective.items()}
    never = [what for what, group in effective.items() if len(missed[what]) == len(group)]
    accused = [what for what, group in effective.items() if any("right" in line["accused"] for line in group)]
    print(f"{len(mistakes)} mistakes, {len(effective)} of them with an effect under some setting.")
    print(f"Never found: {len(never)}. The right backend accused: {len(accused)}.")
    print(f"Missed under some setting where it has an effect: {sum(map(bool, missed.values()))}.")
    for what, group in missed.items():
        for line in group:
            share, times = (
                "nothing" if line[key] is None else f"{line[key]:.2g}"
                for key in ("share_of_bound", "times_the_control")
            )
            print(f"- {what} ({line['setting']}): {share} of a bound, {times} times the control")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, act in (("faults", faults), ("mutants", mutants), ("subtle", subtle)):
        command = commands.add_parser(name, help=(act.__doc__ or "").splitlines()[0])
        command.add_argument("--out", type=output_file, default=Path("misses.jsonl"))
        command.set_defaults(act=act)
        if act is faults:
            command.add_argument("--start", type=int, default=0, help="leave out so many of the first (0)")
        if act is mutants:
            command.add_argument("--count", type=int, default=150)
            command.add_argument("--seed", type=int, default=1)
    report_command = commands.add_parser("report", help="what was found, and every miss")
    report_command.add_argument("files", nargs="+", type=input_file)
    report_command.set_defaults(act=report)
    options = parser.parse_args()
    install()
    options.act(options)


if __name__ == "__main__":
    main()
