"""A run as an ONNX model with explicit state, checked before it is written."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Any

from charkit.argument_checks import as_path
from charkit.runs.pointers import Which
from charkit.text.reading_progress import ProgressCallback
from charkit.version import version
from charkit_formats.errors import FormatError
from charkit_formats.examples import onnx_example
from charkit_formats.exports import ExportedCheckpoint, ExportResult
from charkit_formats.files import beside, check_free, check_out, write_all
from charkit_formats.onnx_check import check
from charkit_formats.onnx_graph import build_graph

SUFFIX = ".onnx"
#: Of 2022 and 2021, so that any onnxruntime since 1.15 or so reads the file; nothing newer is needed.
OPSET, IR_VERSION = 17, 8
#: Protocol buffers, which ONNX files are, hold no more.
MOST_BYTES = 2**31 - 2**16


def export_onnx(
    run: str | PathLike[str] | None,
    out: str | PathLike[str],
    *,
    checkpoint: Which = "best",
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> ExportResult:
    """Exports a run as an ONNX model in float32, with an example that samples it with onnxruntime.

    ``out`` ends in .onnx; the example, ``FILE.py``, is written next to it. The model takes ``symbols`` int64 ``(batch,
    time)``, ``hidden`` and ``cell`` float32 ``(layer, batch, unit)``, and returns ``logits`` float32 ``(batch, time,
    vocabulary)``, ``next_hidden`` and ``next_cell``; batch and time are dynamic. Its metadata contains the vocabulary.
    Before anything is written, it is checked by ``onnx.checker`` and, where onnxruntime is installed, compared with
    charkit on real text. ``progress`` is called with a stage and the fraction of it done. ``run`` defaults to the
    newest in ``runs``.

    Raises FormatError if onnx is not installed, the model fails its check, the directory doesn't exist or a file does
    (unless ``overwrite``); RunError; and StorageError. No partial file is left behind.
    """
    path = as_path("`out`", out)
    check_out(path, SUFFIX, "onnx")
    files = (path, beside(path, ".py"))
    check_free(files, overwrite)
    onnx = _onnx()
    source = ExportedCheckpoint.read(run, checkpoint, "float32")
    too_big = sum(array.nbytes for array in source.weights.values()) > MOST_BYTES
    if too_big:
        raise FormatError(
            f"{str(source.run.path)!r} is too large for one ONNX file, which is limited to 2 GiB; use `format='torch'`"
        )
    model = _model(onnx, source)
    content = model.SerializeToString()
    checks, difference, notices = check(model, content, source, progress)
    example = onnx_example(source.run.config.model, source.run.vocabulary)
    write_all({path: content, files[1]: example}, overwrite)
    return ExportResult(
        run=source.run.path,
        step=source.step,
        format="onnx",
        precision="float32",
        files=files,
        checks=checks,
        largest_difference=difference,
        notices=(*source.notices, *notices),
    )


def _onnx() -> Any:
    try:
        return import_module("onnx")
    except ImportError as error:
        raise FormatError(
            f"exporting to ONNX needs the package onnx, which can't be imported ({error}); run: "
            "pip install onnx onnxruntime"
        ) from error


def _model(onnx: Any, source: ExportedCheckpoint) -> Any:
    """The ONNX model, with the vocabulary in its metadata."""
    model = onnx.helper.make_model(
        build_graph(source.run.config.model, source.weights),
        producer_name="charkit",
        producer_version=version(),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string="A character-level LSTM language model. Start with hidden and cell set to zero.",
    )
    metadata = {"charkit": version(), "vocabulary": source.run.vocabulary.to_json()}
    onnx.helper.set_model_props(model, metadata)
    return model
