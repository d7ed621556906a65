"""What happens to a checkpoint that is damaged: charkit's beside those of PyTorch, Lightning, Keras and Orbax.

    python -m benchmarks damaged-checkpoints --rounds 200 --seed 1

Each library saves the same small LSTM. A round damages a copy in one way: a bit is flipped, a stretch of up to 512
bytes is overwritten with zeros, a file is cut, a file is made longer, a file is missing, or, in formats of several
files, one is exchanged for that of another model. Then it is loaded. Counted is whether loading refused with an error,
gave the numbers that were saved, gave other numbers without an error, or crashed: the process ended, or took more than
a minute. The file of a folder is drawn by size, as a bad sector would find it, or uniformly where it is
missing, extended or exchanged. For charkit, any error other than a CharkitError is a crash.

Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.arguments import positive_integer
from benchmarks.checkpoint_formats import FORMATS, Format

COLUMNS = ("refused", "the saved numbers", "other numbers", "crashed or hung")
_LOAD_SECONDS = 60.0
_START_SECONDS = 600.0  # with the import of a framework, on a busy machine


class Loader:
    """A process that saves and loads in one format; it is started anew after it crashed or hung."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.checkpoint_formats", self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._fresh = True
        threading.Thread(target=self._read, args=(self._process, self._answers), daemon=True).start()

    @staticmethod
    def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def ask(self, **request: Any) -> dict[str, str]:
        """The process's answer; ``{"crashed": ...}`` if it gave none."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=_START_SECONDS if self._fresh else _LOAD_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.close()
            self._start()
            return {"crashed": "the process ended, or took too long"}
        self._fresh = False
        found: dict[str, str] = json.loads(line)
        return found

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


# ---- damage ---------------------------------------------------------------------------------------------


def _flip(path: Path, _other: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def _blank(path: Path, _other: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    start = random.randrange(len(content))
    stop = min(len(content), start + random.randrange(1, 513))
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def _cut(path: Path, _other: Path, random: Random) -> None:
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])


def _extend(path: Path, _other: Path, random: Random) -> None:
    path.write_bytes(path.read_bytes() + random.choice((b"\0", b"x" * 100, b"\n", b"}", bytes(4096))))


def _remove(path: Path, _other: Path, _random: Random) -> None:
    path.unlink()


def _exchange(path: Path, other: Path, _random: Random) -> None:
    shutil.copy(other, path)


Damage = Callable[[Path, Path, Random], None]
#: What is done to a file of a copy; the second path is that of the same file of another model.
DAMAGES: dict[str, Damage] = {
    "bit flipped": _flip,
    "zeros": _blank,
    "cut": _cut,
    "extended": _extend,
    "missing": _remove,
    "exchanged": _exchange,
}
_BY_SIZE = ("bit flipped", "zeros", "cut")


def files_of(root: Path, chosen: Format) -> list[Path]:
    """The files of a checkpoint that loading reads, relative to it; a single file is ``.``."""
    if root.is_file():
        return [Path()]
    found = {path for pattern in chosen.files for path in root.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(root) for path in found)


def damage(root: Path, other: Path, kind: str, chosen: Format, random: Random) -> str:
    """Damages one file of a checkpoint in place, and returns its name."""
    files = files_of(root, chosen)
    if kind in _BY_SIZE:
        (name,) = random.choices(files, [(root / name).stat().st_size for name in files])
    elif kind == "exchanged":  # by one that differs, and that the other model has too
        found = [name for name in files if (other / name).is_file()]
        name = random.choice(
            [each for each in found if (other / each).read_bytes() != (root / each).read_bytes()]
        )
    else:
        name = random.choice(files)
    DAMAGES[kind](root / name, other / name, random)
    return str(name)


# ---- counting -------------------------------------------------------------------------------------------


def outcome(answer: dict[str, str], saved: str) -> str:
    """The column in which a load is counted; ``saved`` is the digest of the undamaged checkpoint."""
    if "digest" in answer:
        return "the saved numbers" if answer["digest"] == saved else "other numbers"
    return "refused" if "refused" in answer else "crashed or hung"


def measure(name: str, rounds: int, seed: int, folder: Path) -> dict[str, Counter[str]]:
    """The outcomes of so many rounds, by the kind of damage; every kind has its turn."""
    chosen, random = FORMATS[name], Random(f"{seed} {name}")
    loader = Loader(name)
    try:
        intact, other, copy = (folder / part / chosen.name for part in ("intact", "other", "copy"))
        for number, path in enumerate((intact, other)):
            path.parent.mkdir(parents=True)
            loader.ask(save=str(path), seed=seed + number)
        saved = loader.ask(load=str(intact)).get("digest")
        if saved is None or loader.ask(load=str(other)).get("digest") == saved:
            raise SystemExit(f"{name}: the undamaged checkpoint could not be loaded, or the two are the same")
        kinds = [kind for kind in DAMAGES if kind != "exchanged" or intact.is_dir()]
        found: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
        for number in range(rounds):
            shutil.rmtree(copy.parent, ignore_errors=True)
            copy.parent.mkdir()
            (shutil.copytree if intact.is_dir() else shutil.copy)(intact, copy)
            kind = kinds[number % len(kinds)]
            damage(copy, other, kind, chosen, random)
            found[kind][outcome(loader.ask(load=str(copy)), saved)] += 1
        return found
    finally:
        loader.close()


def versions(chosen: Format) -> str | None:
    """The versions of the libraries, or None if one is not installed."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in chosen.requires)
    except PackageNotFoundError:
        return None


def row(name: str, found: dict[str, Counter[str]]) -> str:
    """A row of the table: the sums, and where other numbers came from."""
    total = sum(found.values(), Counter[str]())
    silent = [
        f"{kind} {counts['other numbers']}" for kind, counts in found.items() if counts["other numbers"]
    ]
    cells = [name, *(str(total[column]) for column in COLUMNS), ", ".join(silent) or "-"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints a row for each format whose libraries are installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=positive_integer, default=200, help="of each format (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the models and of the damage (1)")
    parser.add_argument("--format", choices=FORMATS, action="append", help="may be repeated; unset, all")
    options = parser.parse_args()
    print(f"{options.rounds} rounds each, seed {options.seed}, Python {platform.python_version()}")
    print("| format |", " | ".join(COLUMNS), "| other numbers, by kind |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    used = []
    for name in options.format or FORMATS:
        if (installed := versions(FORMATS[name])) is None:
            continue
        used.append(installed)
        with tempfile.TemporaryDirectory() as temporary:
            print(row(name, measure(name, options.rounds, options.seed, Path(temporary))), flush=True)
    print("\nVersions:", ", ".join(dict.fromkeys(part for one in used for part in one.split(", "))))


if __name__ == "__main__":
    main()
