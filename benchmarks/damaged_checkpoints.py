"""What happens to a checkpoint that is damaged: charkit's beside a torch ``.pt`` and a Keras ``.keras``.

    python -m benchmarks damaged-checkpoints --rounds 200

The same small LSTM is saved by each. Each round damages a copy in one way, the same for all: bits flipped at random,
a piece cut from the end, or one overwritten with zeros; and loads it again. Counted is whether loading
refused, gave the very numbers that were saved, or gave other numbers without a word. charkit's checkpoint is a folder:
the file that is damaged is drawn by size, as a bad sector would find it. The run has one checkpoint alone; from a run
with more, an older one is loaded, with a notice.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import charkit

TEXT = "the grey cat sat on the mat, and the mat was grey. " * 40
UNITS, SYMBOLS = 32, 40
Arrays = Mapping[str, np.ndarray[Any, Any]]
Load = Callable[[Path], Arrays]


def charkit_run(folder: Path) -> tuple[Path, Load]:
    """A run of charkit: what it loads as is the weights of its checkpoint."""
    settings: dict[str, Any] = {"lstm_size": UNITS, "num_layers": 1, "batch_size": 4, "num_steps": 8}
    charkit.train(
        string=TEXT, run=folder / "run", recipe="classic", max_steps=1, on_event=lambda _: None, **settings
    )

    shutil.rmtree(folder / "run" / "checkpoints" / "00000000")

    def load(path: Path) -> Arrays:
        return dict(charkit.load_run(path, checkpoint="latest", threads=1).model.weights())

    return folder / "run", load


def torch_file(folder: Path) -> tuple[Path, Load]:
    """A state dict of PyTorch, loaded with ``weights_only=True`` as its documentation advises."""
    import torch

    network = torch.nn.LSTM(SYMBOLS, UNITS)
    torch.save(network.state_dict(), folder / "model.pt")

    def load(path: Path) -> Arrays:
        state = torch.load(path, weights_only=True)
        other = torch.nn.LSTM(SYMBOLS, UNITS)
        other.load_state_dict(state)
        return {name: tensor.numpy() for name, tensor in other.state_dict().items()}

    return folder / "model.pt", load


def keras_file(folder: Path) -> tuple[Path, Load]:
    """A model of Keras in its own format, loaded in safe mode, which is the default."""
    import keras

    model = keras.Sequential([keras.Input((8, SYMBOLS)), keras.layers.LSTM(UNITS)])
    model.save(folder / "model.keras")

    def load(path: Path) -> Arrays:
        loaded = keras.saving.load_model(path)
        return {str(number): weights for number, weights in enumerate(loaded.get_weights())}

    return folder / "model.keras", load


FORMATS = {
    "charkit run": (charkit_run, "charkit"),
    "torch .pt": (torch_file, "torch"),
    "Keras .keras": (keras_file, "keras"),
}


def damage(path: Path, random: Random) -> None:
    """Damages a file, or a file of a folder that is drawn by its size."""
    files = (
        [path]
        if path.is_file()
        else [each for each in sorted((path / "checkpoints").rglob("*")) if each.is_file()]
    )
    (file,) = random.choices(files, [each.stat().st_size for each in files])
    content = bytearray(file.read_bytes())
    kind = random.choice(["flip", "flip", "flip", "cut", "zeros"])
    if kind == "flip":
        for _ in range(random.choice([1, 1, 4])):
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    elif kind == "cut":
        del content[random.randrange(len(content)) :]
    else:
        start = random.randrange(len(content))
        stop = min(len(content), start + random.choice([16, 512]))
        content[start:stop] = bytes(stop - start)
    file.write_bytes(content)


def outcome(path: Path, load: Load, saved: Arrays) -> str:
    """What loading a damaged copy comes to."""
    try:
        loaded = load(path)
    except Exception as error:  # noqa: BLE001 - any refusal counts; its kind is what is counted
        return "refused in one line" if isinstance(error, charkit.CharkitError) else "raised"
    same = loaded.keys() == saved.keys() and all(
        loaded[name].shape == array.shape and np.array_equal(loaded[name], array, equal_nan=True)
        for name, array in saved.items()
    )
    return "the saved numbers" if same else "OTHER NUMBERS, SILENTLY"


def measure(name: str, rounds: int, seed: int) -> Counter[str]:
    """The outcomes of so many rounds."""
    make, _ = FORMATS[name]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        path, load = make(Path(temporary))
        saved = load(path)
        random = Random(seed)
        for _ in range(rounds):
            target = Path(temporary) / f"damaged{path.suffix}"
            shutil.rmtree(target, ignore_errors=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
            damage(target, random)
            found[outcome(target, load, saved)] += 1
    return found


def main() -> None:
    """Prints a row for each format whose library is installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=FORMATS, action="append", help="may be repeated; unset, all")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = ("refused in one line", "raised", "the saved numbers", "OTHER NUMBERS, SILENTLY")
    print("| of", options.rounds, "|", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name in options.format or FORMATS:
        if importlib.util.find_spec(FORMATS[name][1]) is not None:
            found = measure(name, options.rounds, options.seed)
            print(f"| {name} |", " | ".join(str(found[column]) for column in columns), "|", flush=True)


if __name__ == "__main__":
    main()
