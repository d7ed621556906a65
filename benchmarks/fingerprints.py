"""Fingerprints of what charkit computes, to find whether a change of the code changed any number on one machine.

    python -m benchmarks fingerprints record before.json     # before the change
    python -m benchmarks fingerprints check before.json      # after it; exits with 1 if any differs

Each run trains 60 steps of a small model through the command line. Its fingerprints are the SHA-256 of its weights,
moments and state, of 300 sampled characters, and of an evaluation. Another processor, another version of a framework or
another number of threads may round differently, so compare recordings of one machine only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arguments import input_file, output_file
from charkit.randomness import Purpose, uniform

STEPS, HALF = 60, 30
WORDS = "a and as at be but by for had he her him his in is it not of on one she so that the to was with you"
SMALL = (
    "--lstm-size 48 --num-layers 2 --batch-size 16 --num-steps 25 --learning-rate 0.01 --threads 1 --seed 7 "
    "--eval-every 25 --save-every 20 --sample-length 40"
)


@dataclass(frozen=True)
class Recipe:
    """A run: its backend, its settings, and where it starts from."""

    name: str
    backend: str
    settings: str = ""
    #: The backend that resumes the run after half of its steps.
    resumed_on: str = ""
    #: The recipe whose weights it starts from.
    init_from: str = ""

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        return self.name.replace(", ", "-").replace(" ", "-")


RECIPES = (
    *(Recipe(f"{backend}, float32", backend) for backend in ("numpy", "torch", "tensorflow", "jax")),
    *(
        Recipe(f"{backend}, float64", backend, "--precision float64")
        for backend in ("numpy", "torch", "tensorflow", "jax")
    ),
    *(
        Recipe(f"{backend}, dropout", backend, "--dropout 0.3 --num-layers 3")
        for backend in ("numpy", "torch", "tensorflow", "jax")
    ),
    Recipe("torch, bfloat16", "torch", "--precision bfloat16"),
    Recipe("jax, bfloat16", "jax", "--precision bfloat16"),
    Recipe("numpy, two threads", "numpy", "--threads 2"),
    Recipe("numpy, schedule and decay", "numpy", "--schedule cosine --warmup-steps 10 --weight-decay 0.1"),
    Recipe("numpy, bytes", "numpy", "--vocabulary byte"),
    Recipe("numpy, resumed", "numpy", "--dropout 0.3", resumed_on="numpy"),
    Recipe("numpy, resumed on torch", "numpy", "--dropout 0.3", resumed_on="torch"),
    Recipe("torch, resumed on jax", "torch", "", resumed_on="jax"),
    Recipe("numpy, from another run", "numpy", init_from="numpy, float32"),
)


def made_up_text(characters: int = 60_000) -> str:
    """Lines of words drawn from the core's own random numbers, with some letters outside of ASCII."""
    draws = uniform(5, Purpose.SAMPLING, 1, size=characters // 3)
    known = WORDS.split()
    words = [known[int(draw * len(known))] for draw in draws]
    lines = [" ".join(words[start : start + 12]) for start in range(0, len(words), 12)]
    return "\n".join(
        f"{line.capitalize()}. — é" if index % 9 == 0 else line for index, line in enumerate(lines)
    )


def toolkit(*arguments: str) -> str:
    """What ``toolkit`` prints."""
    command = [sys.executable, "-m", "charkit_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"toolkit {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def make_run(recipe: Recipe, text: Path, runs: Path) -> Path:
    """Trains the run of a recipe and returns its folder."""
    run = runs / recipe.folder
    settings, steps = SMALL, HALF if recipe.resumed_on else STEPS
    if recipe.init_from:
        (base,) = (one for one in RECIPES if one.name == recipe.init_from)
        settings = SMALL[SMALL.index("--batch-size") :]  # the model is the other run's
        settings += f" --init-from {runs / base.folder}"
    arguments = [
        "--recipe",
        "classic",
        "--run",
        str(run),
        "--backend",
        recipe.backend,
        "--max-steps",
        str(steps),
    ]
    toolkit("train", str(text), *arguments, *settings.split(), *recipe.settings.split())
    if recipe.resumed_on:
        further = ["--backend", recipe.resumed_on, "--threads", "1", "--max-steps", str(STEPS)]
        toolkit("train", "--resume", str(run), *further)
    return run


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fingerprints(recipe: Recipe, run: Path) -> dict[str, str]:
    """The fingerprints of a run that is trained, evaluated and sampled on the backend that it ended on."""
    latest = run / "checkpoints" / json.loads((run / "latest").read_text("utf-8"))["checkpoint"]
    found = {
        name: digest((latest / f"{name}.safetensors").read_bytes())
        for name in ("model", "optimizer", "state")
    }
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    numbers = [(one["step"], one["loss"], one["validation_loss"], one["gradient_norm"]) for one in metrics]
    found["metrics"] = digest(json.dumps(numbers).encode())
    found["samples of training"] = digest((run / "samples.jsonl").read_bytes())
    where = ["--backend", recipe.resumed_on or recipe.backend, "--threads", "1"]
    drawing = ["--checkpoint", "latest", "--length", "300", "--seed", "3", "--temperature", "0.8"]
    found["sample"] = digest(toolkit("sample", str(run), *drawing, *where).encode())
    scored = json.loads(toolkit("evaluate", str(run), "--checkpoint", "latest", "--json", *where))
    found["evaluation"] = f"{scored['loss']!r} nats, {scored['bits_per_byte']!r} bits per byte"
    return found


def record(only: Sequence[str]) -> dict[str, dict[str, str]]:
    """The fingerprints of all recipes by name, or of those on some backends."""
    with TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(made_up_text(), encoding="utf-8")
        found = {}
        for recipe in RECIPES:
            if only and not {recipe.backend, recipe.resumed_on or recipe.backend} <= {*only}:
                continue
            print(recipe.name, file=sys.stderr)
            found[recipe.name] = fingerprints(recipe, make_run(recipe, text, Path(folder) / "runs"))
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not the same, a line each; a recipe that either lacks is a difference."""
    lines = [f"{name}: only one of the two has it" for name in sorted(before.keys() ^ now.keys())]
    for name in before.keys() & now.keys():
        lines += [
            f"{name}: {what}, {before[name].get(what)} before and {now[name].get(what)} now"
            for what in before[name] | now[name]
            if before[name].get(what) != now[name].get(what)
        ]
    return sorted(lines)


def recording(given: str) -> dict[str, Any]:
    """The fingerprints of a file that ``record`` wrote."""
    try:
        found = json.loads(input_file(given).read_text("utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{given!r} has no fingerprints; give a file that `record` wrote")
    return found


def record_to_file(options: argparse.Namespace) -> None:
    """Computes the fingerprints and writes them to a file."""
    options.file.write_text(json.dumps(record(options.backend), indent=2) + "\n", encoding="utf-8")


def check(options: argparse.Namespace) -> None:
    """Computes the fingerprints again and prints which differ."""
    before, now = options.file, record(options.backend)
    lines = differences({name: before[name] for name in before if not options.backend or name in now}, now)
    print(
        "\n".join(lines)
        or f"{sum(len(one) for one in now.values())} fingerprints of {len(now)} runs are equal"
    )
    sys.exit(1 if lines else 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, act, file in (("record", record_to_file, output_file), ("check", check, recording)):
        command = commands.add_parser(name, help=act.__doc__)
        command.add_argument("file", type=file)
        command.add_argument("--backend", action="append", default=[], help="these alone; may be repeated")
        command.set_defaults(act=act)
    options = parser.parse_args()
    options.act(options)


if __name__ == "__main__":
    main()
