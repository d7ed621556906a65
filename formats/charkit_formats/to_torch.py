"""A run as a PyTorch state dict: what ``torch.nn.LSTM`` and ``torch.nn.Linear`` load."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from charkit.argument_checks import as_path
from charkit.config import check_choice
from charkit.runs.pointers import Which
from charkit.version import version
from charkit_formats.examples import torch_example
from charkit_formats.exports import ExportedCheckpoint, ExportResult
from charkit_formats.files import beside, check_free, check_out, write_all
from charkit_formats.torch_check import check

PRECISIONS = ("float32", "float64")
SUFFIX = ".safetensors"


def export_torch(
    run: str | PathLike[str] | None,
    out: str | PathLike[str],
    *,
    checkpoint: Which = "best",
    precision: str = "float32",
    overwrite: bool = False,
) -> ExportResult:
    """Exports a run's weights as a state dict, with its vocabulary and an example that samples them in PyTorch.

    ``out`` ends in .safetensors; ``FILE.vocabulary.json`` and ``FILE.py`` are written next to it. The names are those
    of a module with ``lstm = torch.nn.LSTM(vocabulary_size, lstm_size, num_layers)`` and ``output =
    torch.nn.Linear(lstm_size, vocabulary_size)`` (``state_dict``). The metadata contains the vocabulary too. PyTorch is
    not needed. The result is read back and compared before anything is written. ``run`` defaults to the newest in
    ``runs``.

    Raises FormatError if the comparison fails, the directory doesn't exist or a file does (unless ``overwrite``);
    RunError; and StorageError. No partial file is left behind.
    """
    check_choice("precision", precision, PRECISIONS)
    path = as_path("`out`", out)
    check_out(path, SUFFIX, "torch")
    files = (path, beside(path, ".vocabulary.json"), beside(path, ".py"))
    check_free(files, overwrite)
    source = ExportedCheckpoint.read(run, checkpoint, precision)
    vocabulary = source.run.vocabulary
    metadata = {"format": "pt", "charkit": version(), "vocabulary": vocabulary.to_json()}
    arrays = state_dict(source.weights)
    contents = (
        _in_order(save(arrays, metadata)),
        vocabulary.to_json().encode(),
        torch_example(source.run.config.model, vocabulary, precision),
    )
    checks = check(contents[0], contents[1], arrays, vocabulary, is_rounded=source.is_rounded)
    write_all(dict(zip(files, contents, strict=True)), overwrite)
    return ExportResult(
        source.run.path, source.step, "torch", precision, files, checks=checks, notices=source.notices
    )


def state_dict(weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The canonical weights under PyTorch's names; the order of the gates is the same.

    PyTorch adds two biases, and charkit has one: ``lstm.bias_hh_l*`` are zero.
    """
    named: dict[str, NDArray[Any]] = {}
    for name, array in weights.items():
        part, _, rest = name.partition(".")
        if part == "output":
            named[name] = array
            continue
        layer, _, kind = rest.partition(".")
        if kind == "bias":
            named[f"lstm.bias_ih_l{layer}"] = array
            named[f"lstm.bias_hh_l{layer}"] = np.zeros_like(array)
        else:
            named[f"lstm.{kind}_l{layer}"] = array
    return {name: np.ascontiguousarray(array) for name, array in named.items()}


def _in_order(content: bytes) -> bytes:
    """The safetensors file with its metadata sorted; written at random, one run would give many files."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]
