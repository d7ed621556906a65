"""Checkpoints of the same small LSTM in the formats of several libraries: how each saves and loads.

    python -m benchmarks.checkpoint_formats FORMAT

is the process that ``damaged-checkpoints`` starts for a format: it answers each line of JSON on its standard input with
one on its standard output. ``{"save": PATH, "seed": 1}`` saves a model that is initialized by the seed; ``{"load":
PATH}`` loads one, and answers with a digest of its arrays or with the error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import charkit

TEXT = "the grey cat sat on the mat, and the mat was grey. " * 40
UNITS, SYMBOLS, STEPS = 32, 40, 8
Arrays = Mapping[str, np.ndarray[Any, Any]]
#: More than any of the libraries needs; a damaged length must not take the machine's memory.
_MEMORY_BYTES = 12 << 30


@dataclass(frozen=True)
class Format:
    """A library's format: the distributions that it needs, the name of its file, and its two functions."""

    requires: tuple[str, ...]
    name: str
    save: Callable[[Path, int], None]
    load: Callable[[Path], Arrays]
    #: The parts of a folder that loading reads, as patterns; a file has none.
    files: tuple[str, ...] = ("**/*",)


def _save_charkit(path: Path, seed: int) -> None:
    settings: dict[str, Any] = {"lstm_size": UNITS, "num_layers": 1, "batch_size": 4, "num_steps": STEPS}
    charkit.train(
        string=TEXT, run=path, recipe="classic", max_steps=1, seed=seed, on_event=lambda _: None, **settings
    )
    shutil.rmtree(
        path / "checkpoints" / "00000000"
    )  # from a run with more checkpoints, an older one is loaded


def _load_charkit(path: Path) -> Arrays:
    return dict(charkit.load_run(path, checkpoint="latest", threads=1).model.weights())


def _torch_lstm(seed: int = 0) -> Any:
    import torch

    torch.manual_seed(seed)
    return torch.nn.LSTM(SYMBOLS, UNITS)


def _save_torch(path: Path, seed: int) -> None:
    import torch

    torch.save(_torch_lstm(seed).state_dict(), path)


def _load_torch(path: Path) -> Arrays:
    import torch

    network = _torch_lstm()
    network.load_state_dict(torch.load(path, weights_only=True))
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def _lightning_module() -> Any:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, seed: int = 0) -> None:
            super().__init__()
            self.network = _torch_lstm(seed)

    return Module


def _save_lightning(path: Path, seed: int) -> None:
    import lightning

    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False
    )
    trainer.strategy.connect(_lightning_module()(seed))
    trainer.save_checkpoint(path)


def _load_lightning(path: Path) -> Arrays:
    module = _lightning_module().load_from_checkpoint(path, map_location="cpu")
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def _keras_model(seed: int = 0) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((STEPS, SYMBOLS)), keras.layers.LSTM(UNITS)])


def _keras_arrays(model: Any) -> Arrays:
    return {str(number): weights for number, weights in enumerate(model.get_weights())}


def _save_keras(path: Path, seed: int) -> None:
    _keras_model(seed).save(path)


def _load_keras(path: Path) -> Arrays:
    import keras

    return _keras_arrays(keras.saving.load_model(path))


def _save_keras_weights(path: Path, seed: int) -> None:
    _keras_model(seed).save_weights(path)


def _load_keras_weights(path: Path) -> Arrays:
    model = _keras_model()
    model.load_weights(path)
    return _keras_arrays(model)


def _jax_arrays(seed: int = 0) -> dict[str, Any]:
    import jax

    shapes = {"weight_ih": (4 * UNITS, SYMBOLS), "weight_hh": (4 * UNITS, UNITS), "bias": (4 * UNITS,)}
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    draws = zip(keys, shapes.items(), strict=True)
    return {name: jax.random.normal(key, shape) for key, (name, shape) in draws}


def _save_orbax(path: Path, seed: int) -> None:
    import orbax.checkpoint

    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, _jax_arrays(seed))


def _load_orbax(path: Path) -> Arrays:
    import orbax.checkpoint

    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(path, _jax_arrays())
    return {name: np.asarray(array) for name, array in found.items()}


#: By the names of the table. Each loads as its library's documentation shows it, with the defaults.
FORMATS = {
    "charkit run": Format(
        ("charkit",),
        "run",
        _save_charkit,
        _load_charkit,
        ("config.json", "vocabulary.json", "checkpoints/**/*"),
    ),
    "PyTorch .pt": Format(("torch",), "model.pt", _save_torch, _load_torch),
    "Lightning .ckpt": Format(("lightning", "torch"), "model.ckpt", _save_lightning, _load_lightning),
    "Keras .keras": Format(("keras", "tensorflow"), "model.keras", _save_keras, _load_keras),
    "Keras .weights.h5": Format(
        ("keras", "tensorflow"), "model.weights.h5", _save_keras_weights, _load_keras_weights
    ),
    "Orbax": Format(("orbax-checkpoint", "jax"), "orbax", _save_orbax, _load_orbax),
}


def digest(arrays: Arrays) -> str:
    """SHA-256 of the arrays with their names, shapes and types."""
    found = sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.shape} {array.dtype}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def answer(chosen: Format, request: dict[str, Any]) -> dict[str, str]:
    """Saves, or loads and says what came of it."""
    if "save" in request:
        chosen.save(Path(request["save"]), request["seed"])
        return {}
    try:
        return {"digest": digest(chosen.load(Path(request["load"])))}
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its refusal
        expected = isinstance(error, charkit.CharkitError) or "charkit" not in chosen.requires
        return {"refused" if expected else "crashed": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answers requests until there are no more."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    warnings.simplefilter("ignore")
    chosen = FORMATS[sys.argv[1]]
    answers = os.fdopen(os.dup(1), "w")  # alone: what libraries print goes elsewhere
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answer(chosen, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
