"""``python -m benchmarks NAME ...``, from the root of the sources, runs a benchmark; without a name it lists them."""

from __future__ import annotations

import sys
from importlib import import_module

#: In the order in which they are listed.
NAMES = {
    "training": "characters per second in training, beside what users of each framework would write",
    "sampling": "characters per second of sampled text, one stream and 64, beside torch.nn.LSTM step by step",
    "evaluation": "characters per second of scoring a text, beside training",
    "busy": "training, evaluation and sampling on an idle machine and beside a program that keeps one core busy",
    "growth": "time per character as the model, the batch and the vocabulary grow; draws a picture",
    "overhead": "the core's own share of a training step (batches, masks, events, saves), and the longest pause",
    "startup": "seconds to --help, and to the first sampled character on each backend",
    "verify-time": "seconds that toolkit verify takes on each backend",
    "time-to-loss": "seconds until a recipe's validation loss falls to a given value",
    "encoding": "megabytes of text per second that are read and encoded, and the memory it takes",
    "memory": "peak memory in training, beside the plainest loop on each framework",
    "text-memory": "peak memory of preparing texts of growing size, from files and URLs, and of training on them",
    "commits": "two commits of charkit in turns: is one slower beyond doubt?",
    "gpu": "parity, exact resume, memory and speed on a GPU",
    "tables": "write the tables of README.md and docs/performance.md from the recorded results",
    "scaling": "what a training step on workers consists of; predicts 1, 2 and 4 workers, and computes clusters",
    "shards": "the losses of a run in shards beside those of the whole batch, and what rounding does",
    "worker-bits": "whether any number of workers, local and on Ray, gives the same bits on each backend",
    "worker-faults": "the time that killed, suspended and lost workers, nodes and drivers cost",
    "halving": "nine trials trained whole and by successive halving: the best of each, and the steps",
    "agreement": "loss curves of every pair of backends, evaluation and samples; draws the curves",
    "verdicts": "false alarms of toolkit compare: many short comparisons of correct backends",
    "misses": "what toolkit compare misses: planted faults, mutants, and mistakes that get smaller",
    "fingerprints": "SHA-256 of weights, samples and evaluations, before and after a change",
    "damaged-checkpoints": "what readers of checkpoints do with damaged ones",
    "techniques": "what makes small LSTMs good, tried quickly on PyTorch",
    "grid": "how far the recipe auto lies from the best of 24 settings in the same time",
    "notebook-recipe": "the recipe of a well-known notebook in a plain PyTorch loop",
    "draw-run": "draw the losses of a run from its own records",
    "draw-recipes": "draw validation loss against minutes of training for several runs",
    "draw-terminal": "draw what a terminal showed",
}


def main() -> None:
    """Runs the benchmark that the first argument names."""
    name, *arguments = sys.argv[1:] or [""]
    if name in {"", "-h", "--help"}:
        print("Usage: python -m benchmarks NAME [OPTIONS]\n")
        for known, what in NAMES.items():
            print(f"  {known:<20} {what}")
        print("\nEach has its options: python -m benchmarks training --help. With --quick most take seconds.")
        return
    if name not in NAMES:
        raise SystemExit(f"unknown benchmark {name!r}; python -m benchmarks lists them")
    sys.argv = [f"python -m benchmarks {name}", *arguments]
    import_module(f"benchmarks.{name.replace('-', '_')}").main()


if __name__ == "__main__":
    main()
