"""A PyTorch state dict as a run, which can then be sampled, scored and trained further from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.argument_checks import as_path
from charkit.config import ModelConfig, RunConfig, build
from charkit.html_tables import table_of_fields
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.creation import check_free
from charkit.runs.files_by_path import file_sha256
from charkit.runs.model_card import imported_card
from charkit.runs.run import Run
from charkit.snapshot import Snapshot
from charkit.text.reading_progress import ProgressCallback
from charkit.text.vocabulary import Vocabulary
from charkit_formats.errors import FormatError
from charkit_formats.files import check_folder
from charkit_formats.tensors import TensorFile
from charkit_formats.torch_names import LSTM_PARTS, ModelNames, find_model
from charkit_formats.vocabularies import find_vocabulary

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ImportResult:
    """The run created by an import, its configuration, and notices of what was changed."""

    run: Path
    config: RunConfig
    precision: str
    notices: tuple[str, ...]

    def _repr_html_(self) -> str:
        model = self.config.model
        return table_of_fields(
            [
                ("run", str(self.run)),
                ("model", f"{model.num_layers} x {model.lstm_size}"),
                ("vocabulary", f"{model.vocabulary_size:,} symbols"),
                ("precision", self.precision),
                *(("note", line) for line in self.notices),
            ]
        )


def import_torch(
    file: str | PathLike[str],
    out: str | PathLike[str],
    *,
    vocabulary: str | PathLike[str] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> ImportResult:
    """Creates a run from a ``torch.nn.LSTM`` and a ``torch.nn.Linear`` in a safetensors file.

    The modules may have any names. Both must have biases; the LSTM's two are summed into one. ``vocabulary`` is a JSON
    file: charkit's own, a list of the characters, or an object from character to index; the default is
    ``FILE.vocabulary.json`` next to the file, or the vocabulary in the file's metadata. float16 and bfloat16 become
    float32, and a file with float64 becomes a run of that precision.

    The run has no text: name a text to evaluate it, and train it further with ``init_from``. Raises FormatError for any
    other model, and for a pickle, which is never read; RunError; and StorageError. No partial run is left behind.
    """
    source, path = as_path("`file`", file), as_path("`out`", out)
    symbols_file = None if vocabulary is None else as_path("`vocabulary`", vocabulary)
    _check_out(path, overwrite, [source, *([] if symbols_file is None else [symbols_file])])
    report = progress or (lambda _stage, _fraction: None)
    report("reading", 0.0)
    tensors = TensorFile.open(source)
    try:
        found = find_model(tensors.tensors)
        symbols = find_vocabulary(symbols_file, tensors)
        model = found.model(tensors.tensors, symbols.size)
    except FormatError as error:
        raise FormatError(f"{str(source)!r} can't be imported: {error}") from error
    precision = "float64" if "float64" in found.dtypes else "float32"
    weights, notices = _weights(tensors, found, precision)
    report("writing", 0.5)
    config = _config(model, symbols, precision)
    with ExitStack() as hold:  # the run's lock, until its card is written
        first = _checkpoint(config, weights)
        run = Run.create(path, config, symbols, "", first, overwrite=overwrite, hold=hold)
        run.write_card(imported_card(run, source.name, file_sha256(source)))
    return ImportResult(run.path, config, precision, notices)


def _check_out(path: Path, overwrite: bool, sources: Sequence[Path]) -> None:
    """Raises FormatError or RunError unless a run of these sources may be made there."""
    if path.exists():
        is_run = (path / "config.json").exists()
        if not is_run:
            raise FormatError(
                f"{str(path)!r} already exists and is not a charkit run, so it is never overwritten; "
                "choose another `out`"
            )
        if not overwrite:
            raise FormatError(
                f"the run {str(path)!r} already exists; replace it with `overwrite=True`, or choose another `out`"
            )
        for source in sources:
            if source.resolve().is_relative_to(path.resolve()):
                raise FormatError(
                    f"{str(source)!r} is in the run {str(path)!r}, which would be replaced; move the file out of the "
                    "run, or choose another `out`"
                )
        check_free(path, overwrite)
    check_folder(next(parent for parent in path.absolute().parents if parent.exists()))


def _weights(tensors: TensorFile, found: ModelNames, precision: str) -> tuple[Weights, tuple[str, ...]]:
    """The canonical weights in the precision of the run, and what was done to them."""
    arrays = tensors.read(found.names())
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise FormatError(
                f"{str(tensors.path)!r} can't be imported: {name} contains non-finite numbers (NaN or infinity); "
                "save a model that has not diverged"
            )
    weights: Weights = {}
    for layer in range(found.num_layers):
        ih, hh, bias, more = (arrays[f"{found.lstm}{part}_l{layer}"] for part in LSTM_PARTS)
        weights |= {f"lstm.{layer}.weight_ih": ih, f"lstm.{layer}.weight_hh": hh}
        weights[f"lstm.{layer}.bias"] = (
            bias + more if more.any() else bias
        )  # as it was, down to the sign of a zero
    weights |= {f"output.{kind}": arrays[f"{found.output}{kind}"] for kind in ("weight", "bias")}
    two = any(arrays[f"{found.lstm}bias_hh_l{layer}"].any() for layer in range(found.num_layers))
    notices = ("the LSTM's two biases, bias_ih and bias_hh, are summed into one",) if two else ()
    widened = sorted(found.dtypes - {precision})
    if widened:
        notices = (
            f"{' and '.join(widened)} weights are converted to {precision}, which represents them exactly",
            *notices,
        )
    return {name: array.astype(precision) for name, array in weights.items()}, notices


def _config(model: ModelConfig, vocabulary: Vocabulary, precision: str) -> RunConfig:
    newlines = "keep" if "\r" in vocabulary.symbols else "lf"  # a model that knows CR was trained with it
    data = {"vocabulary": vocabulary.kind, "newlines": newlines}
    return build(RunConfig, {"model": model, "data": data, "training": {"precision": precision}})


def _checkpoint(config: RunConfig, weights: Weights) -> Checkpoint:
    """The first checkpoint of a run that has not been trained: moments and state are zero."""
    progress = TrainingProgress(step=0, optimizer=config.optimizer, training=config.training)
    return Checkpoint(Snapshot.untrained(weights, config.data.batch_size), progress)
