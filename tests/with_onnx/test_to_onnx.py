"""A run as an ONNX model: valid, equal to charkit in every shape, with its vocabulary, and checked by the export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit_formats
from charkit.backend import State
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from charkit_formats import onnx_check, onnx_graph, to_onnx
from cli_support import TINY, Toolkit
from formats_support import THOUSAND, apart, documented, logits_of, make_run, run_example
from support import SMALL_TEXT

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnx

OUTPUTS = ["logits", "next_hidden", "next_cell"]


def session_of(path: str) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def random_state(run: Run, batch: int) -> State[Any]:
    """A state that no symbols led to, so that each layer's must find its place."""
    generator = np.random.default_rng(3)
    shape = (run.config.model.num_layers, batch, run.config.model.lstm_size)
    return State(*(generator.normal(0, 0.7, shape).astype(np.float32) for _ in range(2)))


@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_logits_of_a_thousand_characters_are_charkits(num_layers: int) -> None:
    run = make_run(Path("r"), num_layers=num_layers)
    charkit_formats.export_onnx("r", "a.onnx")
    symbols = run.vocabulary.encode(THOUSAND)[0][None]
    zero = np.zeros((num_layers, 1, 12), np.float32)
    theirs, *_ = session_of("a.onnx").run(
        OUTPUTS, {"symbols": symbols.astype(np.int64), "hidden": zero, "cell": zero}
    )
    assert theirs.shape == (1, 1000, run.vocabulary.size)
    for precision in ("float64", "float32"):
        assert apart(logits_of(run, symbols, precision=precision)[0], theirs) < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 9), (3, 17)])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_any_batch_and_time_with_a_state_that_goes_in_and_out(
    num_layers: int, shape: tuple[int, int]
) -> None:
    run = make_run(Path("r"), num_layers=num_layers)
    charkit_formats.export_onnx("r", "a.onnx")
    symbols = np.random.default_rng(1).integers(0, run.vocabulary.size, shape, dtype=np.int32)
    before = random_state(run, shape[0])
    inputs = {"symbols": symbols.astype(np.int64), "hidden": before.hidden, "cell": before.cell}
    logits, after = logits_of(run, symbols, before)
    theirs, hidden, cell = session_of("a.onnx").run(OUTPUTS, inputs)
    for ours, got in ((logits, theirs), (after.hidden, hidden), (after.cell, cell)):
        assert apart(ours, got) < 1e-5


def test_another_reader_of_onnx_agrees() -> None:
    """The reference implementation of the standard, in NumPy, which shares nothing with onnxruntime.

    The cell state that comes out is left out: before onnx 1.23 that implementation did not give it.
    """
    from onnx.reference import ReferenceEvaluator

    run = make_run(Path("r"), num_layers=2)
    charkit_formats.export_onnx("r", "a.onnx")
    model = onnx.load("a.onnx")
    for part in (model.graph.node, model.graph.output):
        part.remove(next(each for each in part if "next_cell" in (each.name, *getattr(each, "output", ()))))
    symbols = run.vocabulary.encode(SMALL_TEXT[:24])[0].reshape(2, 12)
    before = random_state(run, 2)
    theirs = ReferenceEvaluator(model).run(
        OUTPUTS[:2], {"symbols": symbols.astype(np.int64), "hidden": before.hidden, "cell": before.cell}
    )
    logits, after = logits_of(run, symbols, before)
    for ours, got in zip((logits, after.hidden), theirs, strict=True):
        assert apart(ours, got) < 1e-5


def test_what_the_file_says_of_itself() -> None:
    run = make_run(Path("r"), num_layers=3)
    charkit_formats.export_onnx("r", "a.onnx")
    model = onnx.load("a.onnx")
    onnx.checker.check_model(model, full_check=True)
    nodes = [node.op_type for node in model.graph.node]
    assert nodes.count("LSTM") == 3
    assert {node.domain for node in model.graph.node} == {""}  # standard operators alone
    shapes = {
        value.name: [part.dim_param or part.dim_value for part in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    state = [3, "batch", 12]
    assert shapes == {
        "symbols": ["batch", "time"],
        "hidden": state,
        "cell": state,
        "logits": ["batch", "time", run.vocabulary.size],
        "next_hidden": state,
        "next_cell": state,
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert Vocabulary.from_json(metadata["vocabulary"]) == run.vocabulary
    assert model.producer_name == "charkit"


def test_a_trained_run_is_checked_on_its_own_text(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "30", "--run", "r")
    outcome = toolkit.ok("export", "r", "--format", "onnx", "--out", "a.onnx")
    assert outcome.err == ""
    assert (
        f"checked: onnx.checker (onnx {onnx.__version__}) accepts the model and all its shapes" in outcome.out
    )
    expected = (
        f"checked: the logits of onnxruntime {onnxruntime.__version__} differ from charkit's by at most "
    )
    assert expected in outcome.out
    assert " times the largest logit (bound 1e-05), on 1,000 characters of the run's text" in outcome.out
    answer = toolkit.json("export", "r", "--out", "a.onnx", "--overwrite")
    assert answer["files"] == ["a.onnx", "a.py"]
    assert (answer["run"], answer["step"], answer["format"]) == ("r", 30, "onnx")
    assert len(answer["checks"]) == 2
    assert 0 < answer["largest_difference"] < 1e-5
    assert sorted(path.name for path in Path().iterdir()) == ["a.onnx", "a.py", "r"]


@pytest.mark.parametrize("vocabulary", [None, Vocabulary.bytes()])
def test_the_example_samples_without_charkit(toolkit: Toolkit, vocabulary: Vocabulary | None) -> None:
    make_run(Path("r"), vocabulary=vocabulary)
    toolkit.ok("export", "r", "--out", "a.v2.onnx")
    blocked = ("onnx", "torch", "safetensors")
    text = run_example(Path("a.v2.py"), "The ", blocked=blocked)
    assert text.startswith("The ")
    assert len(text) == 304 or vocabulary is not None
    assert len(set(text)) > 9
    assert run_example(Path("a.v2.py"), "The ", blocked=blocked) == text
    assert run_example(Path("a.v2.py"), blocked=blocked).startswith("\n")


def test_the_program_on_the_page_works() -> None:
    run = make_run(Path("r"))
    charkit_formats.export_onnx("r", "lstm.onnx")
    Path("page.py").write_text(f"{documented(1)}\nprint(logits.shape, hidden.shape)\n")
    said = run_example(Path("page.py"), blocked=("onnx", "torch"), folder=Path.cwd())
    assert said == f"(1, 4, {run.vocabulary.size}) (2, 1, 12)"


def test_a_model_that_disagrees_is_not_left_there(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("r"))
    for gates in ((0, 1, 2, 3), (0, 3, 2, 1)):
        monkeypatch.setattr(onnx_graph, "GATES", gates)
        message = toolkit.error("export", "r", "--out", "a.onnx")
        assert f"the logits of onnxruntime {onnxruntime.__version__} differ from charkit's by " in message
        assert message.endswith("nothing was written; report this as a bug")


def test_a_model_that_is_not_a_number_disagrees(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("r"))
    real = onnx_graph.constants

    def broken(*arguments: Any) -> Any:
        arrays = real(*arguments)
        arrays["output.bias"] = np.full_like(arrays["output.bias"], np.nan)
        return arrays

    monkeypatch.setattr(onnx_graph, "constants", broken)
    assert "differ from charkit's by nan times" in toolkit.error("export", "r", "--out", "a.onnx")


def test_a_model_that_is_not_valid_is_not_left_there(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(Path("r"))
    real = onnx_graph.constants

    def broken(*arguments: Any) -> Any:
        arrays = real(*arguments)
        arrays["output.weight"] = arrays["output.weight"][:-1]
        return arrays

    monkeypatch.setattr(onnx_graph, "constants", broken)
    message = toolkit.error("export", "r", "--out", "a.onnx")
    assert message.startswith("the exported ONNX model is not valid, so it was not written: ")


def test_without_onnxruntime_it_says_what_was_not_checked(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(Path("r"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # importing it raises
    outcome = toolkit.ok("export", "r", "--out", "a.onnx")
    assert outcome.err.startswith(
        "note: the logits were not compared because onnxruntime can't be imported ("
    )
    assert outcome.out.count("checked: ") == 1
    answer = toolkit.json("export", "r", "--out", "a.onnx", "--overwrite")
    assert len(answer["checks"]) == 1
    assert answer["largest_difference"] is None


def test_a_model_too_big_for_one_file(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("r"))
    monkeypatch.setattr(to_onnx, "MOST_BYTES", 1000)
    assert "too large for one ONNX file, which is limited to 2 GiB; use --format torch" in toolkit.error(
        "export", "r", "--out", "a.onnx"
    )


def test_files_that_are_there(toolkit: Toolkit) -> None:
    make_run(Path("r"))
    Path("a.py").write_text("print('years of work')\n")
    for more in ((), ("--overwrite",)):
        assert "'a.py' " in toolkit.error("export", "r", "--out", "a.onnx", *more)
    assert "a.py' is a file, not a directory" in toolkit.error("export", "r", "--out", "a.py/new/a.onnx")
    assert "would be named onnxruntime.py" in toolkit.error("export", "r", "--out", "onnxruntime.onnx")


def test_a_run_of_float64_leaves_in_float32(toolkit: Toolkit) -> None:
    make_run(Path("r"), precision="float64")
    outcome = toolkit.ok("export", "r", "--out", "a.onnx")
    assert outcome.err == "note: the run's float64 weights are rounded to float32\n"


def test_the_progress_of_the_check_goes_from_nothing_to_all() -> None:
    make_run(Path("r"))
    told: list[tuple[str, float]] = []
    charkit_formats.export_onnx("r", "a.onnx", progress=lambda stage, share: told.append((stage, share)))
    shares = [share for stage, share in told if stage == "comparing"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == sum(onnx_check.CALLS)
