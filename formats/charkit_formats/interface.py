"""``charkit.export`` and ``charkit.import_model``: one function for each direction, whatever the format."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from charkit.argument_checks import as_path, check_booleans
from charkit.config import check_choice
from charkit.errors import ConfigurationError, nearest
from charkit.keyword_suggestions import suggesting_keywords
from charkit.runs.pointers import Which
from charkit.text.reading_progress import ProgressCallback
from charkit_formats.exports import ExportResult
from charkit_formats.from_torch import ImportResult, import_torch
from charkit_formats.to_onnx import export_onnx
from charkit_formats.to_torch import export_torch

ExportFormat = Literal["torch", "onnx"]
ExportPrecision = Literal["float32", "float64"]

_FORMATS: dict[str, ExportFormat] = {".safetensors": "torch", ".onnx": "onnx"}


@suggesting_keywords
def export(
    run: str | PathLike[str] | None,
    out: str | PathLike[str],
    *,
    format: ExportFormat | None = None,  # noqa: A002 - as pandas, Pillow and matplotlib have it
    checkpoint: Which = "best",
    precision: ExportPrecision = "float32",
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> ExportResult:
    """Exports a run to files that PyTorch or onnxruntime load without charkit, with an example that samples them.

        charkit.export("runs/anna-1", "anna.safetensors")
        charkit.export(result.run, "anna.onnx")  # needs the package onnx

    ``run`` is a run's directory; None is the newest run in ``runs``. ``out`` ends in .safetensors for the format
    "torch" and in .onnx for "onnx"; ``format`` may name the format too. ``precision`` is that of the weights; float64
    works only with "torch". Files written by an earlier export are replaced if ``overwrite`` is set. In an export
    to ONNX, which is compared with the run, ``progress`` is called with a stage and the fraction of it done.

    Raises ConfigurationError for an unknown suffix or choice, FormatError if onnx is not installed, the model fails its
    check or the files can't be written there, RunError for a directory that is not a run, and StorageError. No partial
    file is left behind.
    """
    path = as_path("`out`", out)
    check_booleans(overwrite=overwrite)
    if format is not None:
        check_choice("format", format, get_args(ExportFormat))
    check_choice("precision", precision, get_args(ExportPrecision))
    if (format or _format_of(path)) == "torch":
        return export_torch(run, path, checkpoint=checkpoint, precision=precision, overwrite=overwrite)
    if precision != "float32":
        raise ConfigurationError(
            f"`precision={precision!r}` works only with `format='torch'`; onnxruntime's LSTM supports only float32"
        )
    return export_onnx(run, path, checkpoint=checkpoint, overwrite=overwrite, progress=progress)


@suggesting_keywords
def import_model(
    file: str | PathLike[str],
    out: str | PathLike[str],
    *,
    vocabulary: str | PathLike[str] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> ImportResult:
    """Creates a run from a ``torch.nn.LSTM`` and a ``torch.nn.Linear`` in a safetensors file.

        charkit.import_model("model.safetensors", "runs/model", vocabulary="characters.json")

    ``vocabulary`` is a JSON file with the characters in the order of their indices, or an object from character to
    index; the default is ``FILE.vocabulary.json`` next to the file, or the vocabulary in the file's metadata. A run in
    ``out`` is replaced if ``overwrite`` is set. The new run has no text: name a text to evaluate it, and train it
    further with ``charkit.train(text, init_from=...)``. ``progress`` is called with a stage and the fraction of it
    done.

    Raises FormatError for any other model, and for a pickle, which is never read; RunError; and StorageError. No
    partial run is left behind.
    """
    check_booleans(overwrite=overwrite)
    return import_torch(file, out, vocabulary=vocabulary, overwrite=overwrite, progress=progress)


def _format_of(out: Path) -> ExportFormat:
    """The format that a file's suffix means. Raises ConfigurationError for a suffix of none."""
    if out.suffix not in _FORMATS:
        raise ConfigurationError(
            f"`out` {str(out)!r} must end in one of {', '.join(_FORMATS)}{nearest(out.suffix, _FORMATS)}; "
            "the suffix determines the format"
        )
    return _FORMATS[out.suffix]
