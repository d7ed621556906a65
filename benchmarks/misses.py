"""What does ``toolkit compare`` miss? Plants mistakes in the NumPy backend, and compares it with the right one.

    python -m benchmarks misses faults --out misses.jsonl     # the planted faults of tests/conformance
    python -m benchmarks misses mutants --count 150 --out misses.jsonl    # mutants of the NumPy backend
    python -m benchmarks misses subtle                        # mistakes of a size: the smallest that is found
    python -m benchmarks misses report misses.jsonl

Each mistake is compared under several settings, since most show only under some. Everything runs in this process;
each mistake in a fork of it. A mistake that changes nothing, or no more than rounding does,
has no effect under a setting. The right backend is compared with itself first. A comparison that fails for another
reason than the backend it is given ends the program: it found nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.arguments import (  # noqa: E402
    input_file,
    integer_from_zero,
    output_file,
    positive_integer,
)
from benchmarks.local_comparison import (  # noqa: E402
    SETTINGS,
    compare_locally,
    install,
    make_text,
    record,
    refuse_false_alarms,
)
from benchmarks.subtle_mistakes import SUBTLE, Make  # noqa: E402
from charkit_numpy.backend import NumpyBackend  # noqa: E402 - after the path to the tests

#: Seconds after which a mutant counts as found: it hangs.
LIMIT_SECONDS = 300
#: What the comparison of the right backend with itself is recorded as.
NO_MISTAKE = "no mistake"
#: The right backend and the one with the mistake.
Pair = tuple[Make, Make]


class NotImportedError(Exception):
    """A mutant can't even be imported; the message says why."""


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
    stop = None if options.count is None else options.start + options.count
    chosen = islice(planted(), options.start, stop)
    _each(
        lambda: (NumpyBackend, NumpyBackend),
        ((what, lambda make=make: (NumpyBackend, make)) for what, make in chosen),
        options,
    )


def _each(
    right: Callable[[], Pair], mistakes: Iterable[tuple[str, Callable[[], Pair]]], options: argparse.Namespace
) -> None:
    """Compares the right backend with itself, then each mistake with it, and writes a line for each setting."""
    with tempfile.TemporaryDirectory() as folder, options.out.open("a") as file:
        compare = partial(_records, Path(folder), make_text(Path(folder)))
        refuse_false_alarms(compare(NO_MISTAKE, right))
        for number, (what, load) in enumerate(mistakes):
            records = compare(what, load)
            for line in records:
                print(json.dumps(line), file=file, flush=True)
            effect = [line for line in records if line["effect"]]
            missed = [line["setting"] for line in effect if not line["found"]]
            print(f"{number}: {what}: effect in {len(effect)}, missed in {missed}", file=sys.stderr)


def _records(folder: Path, text: Path, what: str, load: Callable[[], Pair]) -> list[dict[str, Any]]:
    """The comparisons under every setting, in a fork, so that one that hangs or changes the process harms nothing."""
    lines, raised = folder / "lines", folder / "raised"
    lines.write_text("")
    raised.write_text("")
    ended = _forked(lambda: _compare_all(what, load, text, lines), raised)
    if error := raised.read_text("utf-8"):
        raise SystemExit(
            f"the comparison of {what!r} failed, but not in its backend, so nothing was found:\n{error}"
        )
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    return records if ended else [*records, _broken(what, array="it hangs or ends the process")]


def _broken(what: str, **more: Any) -> dict[str, Any]:
    """What is kept of a mistake that no comparison gets through."""
    return {
        "mistake": what,
        "setting": "",
        "effect": True,
        "found": True,
        "accused": [],
        "array": "",
        "share_of_bound": None,
        "times_the_control": None,
        "verdict": "",
        **more,
    }


def _compare_all(what: str, load: Callable[[], Pair], text: Path, lines: Path) -> None:
    def write(record: dict[str, Any]) -> None:
        with lines.open("a") as file:
            print(json.dumps(record), file=file)

    try:
        right, wrong = load()
    except NotImportedError as error:
        write(_broken(what, accused=["wrong"], verdict=f"not imported: {error}"))
        return
    for name, setting in SETTINGS.items():
        write(record(what, name, compare_locally(right, wrong, setting, text)))


def _forked(act: Callable[[], None], raised: Path) -> bool:
    """Whether the action ended in time and in peace, in a process of its own; what it raised is written to the file."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            act()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent shows it
            raised.write_text(traceback.format_exc(), "utf-8")
        finally:
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
    drawn = draw(all_mutants(target), options.seed, options.count)
    chosen = [mutant for mutant in drawn if mutant.file != "plugin.py"]
    with tempfile.TemporaryDirectory(prefix="charkit-mutants-") as root:

        def load(changes: dict[str, str]) -> Pair:
            folder = Path(tempfile.mkdtemp(dir=root))
            target.write(folder, changes)
            package = folder / "charkit_mutant"
            (folder / target.package).rename(package)
            for path in package.glob("*.py"):
                path.write_text(path.read_text("utf-8").replace(target.package, "charkit_mutant"), "utf-8")
            sys.path.insert(0, str(folder))
            return NumpyBackend, _imported("charkit_mutant.backend")

        _each(
            lambda: load({}),
            ((one.identity, lambda one=one: load({one.file: one.source})) for one in chosen),
            options,
        )


def _imported(module: str) -> Make:
    try:
        return importlib.import_module(module).NumpyBackend  # type: ignore[no-any-return]
    except Exception as error:  # a mutant may raise anything when it is imported
        raise NotImportedError(f"{type(error).__name__}: {error}") from error


# ---- mistakes of a size ---------------------------------------------------------------------------------------


def subtle(options: argparse.Namespace) -> None:
    """For each mistake the smallest size that is found."""
    setting = {**SETTINGS["plain"], "data": {"batch_size": 64, "num_steps": 20}}
    with tempfile.TemporaryDirectory() as folder:
        text = make_text(Path(folder))
        text.write_text(text.read_text("utf-8") * 8, "utf-8")
        for steps in sorted({steps for *_, steps in SUBTLE}):
            alone = compare_locally(NumpyBackend, NumpyBackend, setting, text, steps=steps)
            refuse_false_alarms([record(NO_MISTAKE, f"{steps} steps", alone)])
        print("| mistake | smallest size found | largest not found |\n|---|---|---|", flush=True)
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
        command.set_defaults(act=act)
        if act is not subtle:
            command.add_argument("--out", type=output_file, default=Path("misses.jsonl"))
        if act is faults:
            command.add_argument(
                "--start", type=integer_from_zero, default=0, help="leave out so many of the first (0)"
            )
            command.add_argument("--count", type=positive_integer, help="compare so many (all)")
        if act is mutants:
            command.add_argument("--count", type=positive_integer, default=150)
            command.add_argument("--seed", type=int, default=1)
    report_command = commands.add_parser("report", help="what was found, and every miss")
    report_command.add_argument("files", nargs="+", type=input_file)
    report_command.set_defaults(act=report)
    options = parser.parse_args()
    install()
    options.act(options)


if __name__ == "__main__":
    main()
