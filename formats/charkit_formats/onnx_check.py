"""Whether an ONNX model is valid, and gives the logits that charkit gives on real text."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from charkit import plugins
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.text.reading_progress import ProgressCallback
from charkit_formats.errors import FormatError
from charkit_formats.exports import ExportedCheckpoint
from charkit_formats.onnx_graph import constants
from charkit_formats.real_text import Symbols, real_symbols

#: The largest difference of two logits that is rounding, as a share of the largest logit.
BOUND = 1e-5
#: Two streams of symbols, in two calls each, so that batch, time and the carried state are all seen to work.
STREAMS, CALLS = 2, (300, 200)
CHARACTERS = STREAMS * sum(CALLS)


def check(
    model: Any, content: bytes, source: ExportedCheckpoint, progress: ProgressCallback | None
) -> tuple[tuple[str, ...], float | None, tuple[str, ...]]:
    """Checks the model, of which ``content`` is the file; returns what was checked, the difference, and notices.

    Raises FormatError for a model that is not valid or not equal.
    """
    onnx = import_module("onnx")
    _check_file(onnx, model, content)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise FormatError(
            f"the exported ONNX model is not valid, so it was not written: {error}; report this as a bug"
        ) from error
    checks: tuple[str, ...] = (
        f"onnx.checker (onnx {onnx.__version__}) accepts the model and all its shapes",
    )
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        _check_arrays(onnx, model, source)
        return (
            checks,
            None,
            (f"the logits were not compared because onnxruntime can't be imported ({error})",),
        )
    symbols, what = real_symbols(source.run, STREAMS, sum(CALLS))
    refusals: tuple[type[Exception], ...] = (RuntimeError, ValueError, *_errors_of(runtime))
    try:
        difference = _difference(runtime, content, source, symbols, progress)
    except refusals as error:
        raise FormatError(
            f"onnxruntime {runtime.__version__} can't run the exported ONNX model, so it was not written: "
            f"{error}; report this as a bug"
        ) from error
    if not difference <= BOUND:
        raise FormatError(
            f"the logits of onnxruntime {runtime.__version__} differ from charkit's by {difference:.1e} times the "
            f"largest logit (bound {BOUND:.0e}), on {CHARACTERS:,} characters of {what}; nothing was written; "
            "report this as a bug"
        )
    _check_arrays(onnx, model, source)
    checks += (
        f"the logits of onnxruntime {runtime.__version__} differ from charkit's by at most {difference:.1e} times the "
        f"largest logit (bound {BOUND:.0e}), on {CHARACTERS:,} characters of {what}",
    )
    return checks, difference, ()


def _check_file(onnx: Any, model: Any, content: bytes) -> None:
    """Raises FormatError unless the file is the model."""
    try:
        wrong = (
            None if onnx.load_model_from_string(content) == model else "it reads back as a different model"
        )
    except (ValueError, import_module("google.protobuf.message").DecodeError) as error:
        wrong = str(error)
    _raise_if(wrong)


def _check_arrays(onnx: Any, model: Any, source: ExportedCheckpoint) -> None:
    """Raises FormatError unless the model has the arrays and the vocabulary of the run.

    Logits alone don't show the weights of a symbol that the text lacks.
    """
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    metadata = {each.key: each.value for each in model.metadata_props}
    expected = constants(source.run.config.model, source.weights)
    same = arrays.keys() == expected.keys() and all(
        arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)
        for name, array in expected.items()
    )
    if not same:
        _raise_if("its arrays differ from the run's")
    if metadata.get("vocabulary") != source.run.vocabulary.to_json():
        _raise_if("its vocabulary differs from the run's")


def _raise_if(wrong: str | None) -> None:
    if wrong is not None:
        raise FormatError(
            f"the exported ONNX file doesn't match the run, so it was not written: {wrong}; report this as a bug"
        )


def _errors_of(runtime: Any) -> tuple[type[Exception], ...]:
    """What onnxruntime raises for models that it can't run: classes of its own, which share no parent of theirs."""
    module = import_module(f"{runtime.__name__}.capi.onnxruntime_pybind11_state")
    return tuple(
        each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Exception)
    )


def _difference(
    runtime: Any,
    content: bytes,
    source: ExportedCheckpoint,
    symbols: Symbols,
    progress: ProgressCallback | None,
) -> float:
    """The largest difference of the logits on symbols (batch, time), as a share of the largest logit.

    charkit's own are computed in float64, so what is seen is the rounding of the other side alone.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    engine = plugins.create("numpy", precision="float64", device=None, threads=None)
    model = CharRNN.from_config(
        source.run.config.model, OptimizerConfig(), engine, batch_size=1, num_steps=1, weights=source.weights
    )
    state = model.initial_state(STREAMS)
    hidden, cell = (array.astype(np.float32) for array in model.state_arrays(state))
    largest, apart, done = 0.0, 0.0, 0
    for length in CALLS:
        piece = symbols[:, done : done + length]
        theirs, hidden, cell = session.run(
            ["logits", "next_hidden", "next_cell"],
            {"symbols": piece.astype(np.int64), "hidden": hidden, "cell": cell},
        )
        expected = (STREAMS, length, source.run.config.model.vocabulary_size)
        if theirs.shape != expected:
            raise ValueError(f"its logits have the shape {theirs.shape}, not {expected}")
        for time in range(length):
            ours, state = model.predict(np.ascontiguousarray(piece[:, time : time + 1]), state)
            largest = max(largest, float(np.max(np.abs(ours))))
            apart = float(np.maximum(apart, np.max(np.abs(theirs[:, time] - ours))))  # keeps a nan
            if progress is not None:
                progress("comparing", (done + time + 1) / symbols.shape[1])
        done += length
    return apart / largest if largest else apart
