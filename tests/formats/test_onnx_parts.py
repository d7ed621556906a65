"""What of an ONNX export needs no onnx: the arrays in its layout, the example, and the text of the check."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charkit.text.vocabulary import Vocabulary
from charkit_formats.examples import onnx_example
from charkit_formats.onnx_graph import constants
from charkit_formats.real_text import real_symbols
from formats_support import THOUSAND, apart, logits_of, make_run, weights_of
from support import SMALL_TEXT


def onnx_lstm(
    inputs: NDArray[Any],
    w: NDArray[Any],
    r: NDArray[Any],
    b: NDArray[Any],
    hidden: NDArray[Any],
    cell: NDArray[Any],
) -> NDArray[Any]:
    """The LSTM operator as the standard has it, gates i, o, f, c: features (time, unit) of inputs (time, input)."""
    outputs = []
    for step in inputs:
        gates = step @ w.T + hidden @ r.T + b[: len(w)] + b[len(w) :]
        i, o, f = (1 / (1 + np.exp(-gate)) for gate in np.split(gates, 4)[:3])
        cell = f * cell + i * np.tanh(np.split(gates, 4)[3])
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


def test_the_arrays_are_those_of_the_standards_lstm() -> None:
    run = make_run(Path("r"), num_layers=3)
    arrays = constants(run.config.model, weights_of(run))
    symbols = run.vocabulary.encode(THOUSAND[:50])[0]
    features = np.eye(run.vocabulary.size)[symbols]
    for layer in range(3):
        w, r, b = (arrays[f"lstm.{layer}.{kind}"][0].astype(np.float64) for kind in ("W", "R", "B"))
        features = onnx_lstm(features, w, r, b, np.zeros(12), np.zeros(12))
    theirs = features @ arrays["output.weight"].astype(np.float64) + arrays["output.bias"]
    assert apart(logits_of(run, symbols[None])[0][0], theirs) < 1e-12


@pytest.mark.parametrize("vocabulary", [Vocabulary.of_text("ab"), Vocabulary.bytes()])
def test_the_example_is_python_that_imports_only_what_it_says(vocabulary: Vocabulary) -> None:
    run = make_run(Path("r"), vocabulary=vocabulary)
    tree = ast.parse(onnx_example(run.config.model, vocabulary))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"argparse", "json", "numpy", "onnxruntime"}


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_the_check_reads_the_text_that_the_run_names(kind: str) -> None:
    vocabulary = Vocabulary.bytes() if kind == "byte" else Vocabulary.of_text(SMALL_TEXT)
    Path("texts").mkdir()
    Path("texts/1.txt").write_text(SMALL_TEXT[:30], "utf-8")
    Path("texts/2.txt").write_text("\u4e00" * (kind == "char") + SMALL_TEXT[30:], "utf-8")  # one is unknown
    run = make_run(Path("r"), vocabulary=vocabulary, text="texts")
    symbols, whose = real_symbols(run, 2, 100)
    assert whose == "the run's text"
    assert (symbols.shape, symbols.dtype) == ((2, 100), np.int32)
    assert symbols.ravel().tolist() == vocabulary.encode(SMALL_TEXT)[0][:200].tolist()


@pytest.mark.parametrize(
    ("text", "known", "whose"),
    [
        ("short.txt", "the cat", "the run's text"),
        ("gone.txt", "the cat", "Python's language reference, since the run's own text can't be used"),
        ("binary.txt", "the cat", "Python's language reference, since the run's own text can't be used"),
        (None, "the cat", "Python's language reference"),
        (
            "short.txt",
            "\u4e00\u4e01\u4e02",
            "the vocabulary in order, since no available text contains any of its symbols",
        ),
        (
            None,
            "\u4e00\u4e01\u4e02",
            "the vocabulary in order, since no available text contains any of its symbols",
        ),
    ],
)
def test_what_the_check_reads_where_there_is_none(text: str | None, known: str, whose: str) -> None:
    Path("short.txt").write_text("the cat")
    Path("binary.txt").write_bytes(b"the\0cat")
    run = make_run(Path("r"), vocabulary=Vocabulary.of_text(known), text=text)
    symbols, told = real_symbols(run, 2, 50)
    assert told == whose
    assert symbols.shape == (2, 50)
    assert 0 <= symbols.min() < symbols.max() < run.vocabulary.size
