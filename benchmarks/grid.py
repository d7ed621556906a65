"""How far the recipe ``auto`` lies from the best of 24 settings that train for the same time.

    python -m benchmarks grid anna.txt nietzsche.txt --time-limit 3m --results grid.jsonl

Each run trains on NumPy for the time limit, start and validations included, with a cosine schedule that ends with it,
on the first nine tenths of the text; the loss is the best validation on the last tenth, in nats. The grid has three
sizes, two learning rates, two shapes of batches, and training with and without dropout; everything else is as in
``auto``. With a limit of 3 minutes a text takes 75 minutes. ``--jobs 2 --threads 1`` takes half of that on two cores:
two runs at a time, one core each, ``auto`` like the others. Results are appended to a file, one line of JSON each. Runs
that are in it are not trained again, so the benchmark can be interrupted and continued. Nothing else should run
meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import charkit
from benchmarks.arguments import input_file, output_file, positive_integer
from benchmarks.turns import machine
from charkit_numpy.numba_support import numba_version

AUTO = "auto"
#: 24 settings. Each is a recipe of its own, of the keys of ``charkit.train``.
GRID = {
    "lstm_size": (128, 192, 256),
    "learning_rate": (0.005, 0.01),
    "batch": ((16, 50), (32, 100)),
    "dropout": (0.0, 0.3),
}
#: What all of them have. ``auto`` has the same, but no warmup.
_SHARED: dict[str, Any] = {
    "recipe": "classic",
    "num_layers": 2,
    "beta1": 0.0,
    "schedule": "cosine",
    "learning_rate_floor": 0.0,
    "initialization": "embedding",
    "warmup_steps": 50,
    "epochs": 1_000_000,  # the time limit ends the training
}
_QUICK = {"lstm_size": (8, 12), "learning_rate": (0.01,), "batch": ((4, 8),), "dropout": (0.0,)}


def settings_of(grid: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the keywords of each setting, ``auto`` first."""
    yield AUTO, {"recipe": AUTO}
    for size, rate, (batch, steps), dropout in product(*grid.values()):
        name = f"2x{size}, learning rate {rate:g}, batches of {batch} x {steps}, dropout {dropout:g}"
        chosen = {"lstm_size": size, "learning_rate": rate, "batch_size": batch, "num_steps": steps}
        yield name, {**_SHARED, **chosen, "dropout": dropout}


def main() -> None:
    """Trains what is missing in the results, and prints each text's best settings beside ``auto``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", type=input_file, help="text files")
    parser.add_argument("--time-limit", default="3m", help="of each run [default: 3m]")
    parser.add_argument(
        "--results", type=output_file, default=Path("grid.jsonl"), help="[default: grid.jsonl]"
    )
    parser.add_argument("--threads", type=positive_integer, default=2, help="of each run [default: 2]")
    parser.add_argument("--jobs", type=positive_integer, default=1, help="runs at a time [default: 1]")
    parser.add_argument("--quick", action="store_true", help="two tiny settings: does it work?")
    options = parser.parse_args()
    grid = dict(settings_of(_QUICK if options.quick else GRID))
    for text in options.texts:
        conditions = _conditions(text, options)
        done = _recorded(options.results, conditions)
        missing = {name: keywords for name, keywords in grid.items() if name not in done}
        for name, result in _train_all(text, missing, options):
            done[name] = result
            line = {**conditions, "settings": name, **result}
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{text.name}: {name}: {result['validation']:.4f}", flush=True)
        print(verdict(text.name, {name: done[name] for name in grid}), flush=True)


def _conditions(text: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What results must have in common to be compared."""
    return {
        "text": text.name,
        "sha256": sha256(text.read_bytes()).hexdigest(),
        "time_limit": options.time_limit,
        "threads": options.threads,
        "jobs": options.jobs,
        "machine": machine(),
        "numba": numba_version(),
    }


def _train_all(
    text: Path, missing: dict[str, dict[str, Any]], options: argparse.Namespace
) -> Iterator[tuple[str, dict[str, float]]]:
    """The results of the missing settings, each trained in a process of its own, as they end."""
    with ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        names = {pool.submit(_train, text, keywords, options): name for name, keywords in missing.items()}
        for future in as_completed(names):
            yield names[future], future.result()


def _recorded(path: Path, conditions: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The results by settings that the file has under these conditions."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    return {
        line["settings"]: {"validation": line["validation"], "step": line["step"]}
        for line in lines
        if {key: line.get(key) for key in conditions} == conditions
    }


def _train(text: Path, keywords: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        result = charkit.train(
            text,
            run=Path(folder) / "run",
            backend="numpy",
            threads=options.threads,
            time_limit=options.time_limit,
            validation_share=0.1,
            test_share=0.0,
            sample_length=0,
            **keywords,
        )
    assert result.best_validation_loss is not None
    return {"validation": result.best_validation_loss, "step": result.step}


def verdict(text: str, results: dict[str, dict[str, float]]) -> str:
    """What ``auto`` reached and what the best of the others did, in a line."""
    others = {name: result["validation"] for name, result in results.items() if name != AUTO}
    best = min(others, key=others.__getitem__)
    auto = results[AUTO]["validation"]
    return (
        f"{text}: auto {auto:.4f}, best of {len(others)} settings {others[best]:.4f} ({best}): "
        f"auto is {auto - others[best]:+.4f} nats from it"
    )


if __name__ == "__main__":
    main()
