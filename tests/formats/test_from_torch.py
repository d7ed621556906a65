"""A state dict as a run: what is brought in, equal to the bit, and what the run can then do."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

import charkit
import charkit_formats
from charkit.errors import RunError
from charkit.runs.lock import RunLock
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from charkit_formats.to_torch import state_dict
from cli_support import TINY, Toolkit, lines_of
from formats_support import make_run, weights_of

SYMBOLS = Vocabulary.of_text("abcd \n")


def two_biases(weights: dict[str, NDArray[Any]], lstm: str, output: str) -> dict[str, NDArray[Any]]:
    """A state dict of modules of these names, with both biases trained."""
    named = {
        name.replace("lstm.", lstm).replace("output.", output): array
        for name, array in state_dict(weights).items()
    }
    for name, array in named.items():
        if "bias_hh" in name:
            half = named[name.replace("bias_hh", "bias_ih")]
            array[:] = np.float32(0.25)
            half -= array
    return {name: array.copy() for name, array in named.items()}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_there_and_back_is_equal_to_the_bit(toolkit: Toolkit, num_layers: int, precision: str) -> None:
    first = make_run(Path("r"), num_layers=num_layers, precision=precision)
    toolkit.ok("export", "r", "--out", "a.safetensors", "--precision", precision)
    outcome = toolkit.ok("import", "a.safetensors", "--out", "back")
    assert outcome.err == ""
    second = Run.open(Path("back"))
    assert second.vocabulary == first.vocabulary
    assert second.config.model == first.config.model
    ours, theirs = weights_of(first), weights_of(second)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype == np.dtype(precision)
        assert array.tobytes() == theirs[name].tobytes()
    toolkit.ok("export", "back", "--out", "b.safetensors", "--precision", precision)
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_the_result_is_a_table_in_a_notebook() -> None:
    symbols = make_run(Path("r")).vocabulary.size
    charkit.export("r", "a.safetensors")
    table = charkit.import_model("a.safetensors", "back")._repr_html_()
    assert table.startswith("<table>")
    for shown in (">back<", ">float32<", f">{symbols} symbols<", " x 12<"):
        assert shown in table


def test_the_sign_of_a_zero_stays() -> None:
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    weights = state_dict(weights_of(run))
    weights["lstm.bias_ih_l0"] = np.full(48, -0.0, np.float32)
    save_file(weights, "a.safetensors", {"vocabulary": SYMBOLS.to_json()})
    made = charkit_formats.import_torch("a.safetensors", "back")
    assert np.signbit(weights_of(Run.open(made.run))["lstm.0.bias"]).all()


@pytest.mark.parametrize(
    ("lstm", "output"), [("", "out."), ("rnn.", "decoder."), ("module.net.lstm.", "module.head.0.")]
)
def test_the_modules_may_have_any_names_and_both_biases_are_added(lstm: str, output: str) -> None:
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    save_file(two_biases(weights_of(run), lstm, output), "a.safetensors", {"vocabulary": SYMBOLS.to_json()})
    made = charkit_formats.import_torch("a.safetensors", "back")
    assert made.notices == ("the LSTM's two biases, bias_ih and bias_hh, are summed into one",)
    for name, array in weights_of(run).items():
        np.testing.assert_allclose(weights_of(Run.open(made.run))[name], array, rtol=0, atol=1e-6)


def test_names_without_a_module_of_their_own(toolkit: Toolkit) -> None:
    """An LSTM alone has names such as weight_ih_l0; a Linear beside it must then have a prefix or none too."""
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    save_file(two_biases(weights_of(run), "", ""), "a.safetensors", {"vocabulary": SYMBOLS.to_json()})
    toolkit.ok("import", "a.safetensors", "--out", "back")


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (SYMBOLS.to_json(), False),
        (json.dumps(list(SYMBOLS.symbols)), True),
        (json.dumps({symbol: index for index, symbol in enumerate(SYMBOLS.symbols)}), True),
        (json.dumps({symbol: SYMBOLS.size - 1 - i for i, symbol in enumerate(SYMBOLS.symbols[::-1])}), False),
    ],
)
def test_the_forms_of_a_vocabulary(toolkit: Toolkit, content: str, given: bool) -> None:
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    save_file(state_dict(weights_of(run)), "a.safetensors")
    Path("chars.json" if given else "a.vocabulary.json").write_text(content)
    toolkit.ok("import", "a.safetensors", "--out", "back", *(("--vocabulary", "chars.json") if given else ()))
    assert Run.open(Path("back")).vocabulary == SYMBOLS


def test_a_file_beside_goes_before_the_metadata_and_a_named_one_before_both(toolkit: Toolkit) -> None:
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    save_file(state_dict(weights_of(run)), "a.safetensors", {"vocabulary": json.dumps(list("ABCDEF"))})
    toolkit.ok("import", "a.safetensors", "--out", "first")
    Path("a.vocabulary.json").write_text(json.dumps(list("GHIJKL")))
    toolkit.ok("import", "a.safetensors", "--out", "second")
    Path("named.json").write_text(json.dumps(list("MNOPQR")))
    toolkit.ok("import", "a.safetensors", "--out", "third", "--vocabulary", "named.json")
    found = ["".join(Run.open(Path(name)).vocabulary.symbols) for name in ("first", "second", "third")]
    assert found == ["ABCDEF", "GHIJKL", "MNOPQR"]


def test_symbols_in_any_order_mean_the_same(toolkit: Toolkit) -> None:
    """The rows and columns of a model, and its symbols, in another order: the same model of text."""
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    order = np.array([3, 0, 5, 1, 4, 2])
    weights = dict(weights_of(run))
    weights["lstm.0.weight_ih"] = weights["lstm.0.weight_ih"][:, order]
    weights |= {name: weights[name][order] for name in ("output.weight", "output.bias")}
    save_file(state_dict(weights), "a.safetensors")
    Path("a.vocabulary.json").write_text(json.dumps([SYMBOLS.symbols[index] for index in order]))
    toolkit.ok("import", "a.safetensors", "--out", "back")
    text = "a bad cab\n" * 30
    losses = [charkit.load_run(name).evaluate(string=text).loss for name in ("r", "back")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_byte_vocabulary(toolkit: Toolkit) -> None:
    make_run(Path("r"), vocabulary=Vocabulary.bytes())
    toolkit.ok("export", "r", "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "back")
    samples = [toolkit.json("sample", name, "--seed", "1")["samples"] for name in ("r", "back")]
    assert samples[0] == samples[1]


def halves(array: NDArray[Any]) -> bytes:
    """The upper half of each float32: the same numbers in bfloat16, cut off."""
    return (np.asarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()


def raw_safetensors(arrays: dict[str, tuple[str, list[int], bytes]], pad: int = 0) -> bytes:
    """A safetensors file of tensors that are given as type, shape and bytes."""
    header, at = {}, 0
    for name, (dtype, shape, content) in arrays.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
    text = json.dumps(header).encode()
    text += b" " * max(0, pad - len(text))
    return struct.pack("<Q", len(text)) + text + b"".join(content for _, _, content in arrays.values())


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_half_precision_becomes_float32(toolkit: Toolkit, dtype: str) -> None:
    run = make_run(Path("r"), vocabulary=SYMBOLS)
    weights = state_dict(weights_of(run))
    arrays = {}
    for name, array in weights.items():
        content = halves(array) if dtype == "BF16" else array.astype("<f2").tobytes()
        arrays[name] = (dtype, list(array.shape), content)
    Path("a.safetensors").write_bytes(raw_safetensors(arrays))
    Path("a.vocabulary.json").write_text(SYMBOLS.to_json())
    outcome = toolkit.ok("import", "a.safetensors", "--out", "back")
    kind = {"BF16": "bfloat16", "F16": "float16"}[dtype]
    assert outcome.err == f"note: {kind} weights are converted to float32, which represents them exactly\n"
    bound = {"BF16": 2.0**-7, "F16": 2.0**-11}[dtype]
    for name, array in weights_of(run).items():
        got = weights_of(Run.open(Path("back")))[name]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, array, rtol=bound, atol=1e-7)
        assert not np.array_equal(got, array)


@pytest.mark.parametrize("length", [0x0780, 0x0580])
def test_a_header_whose_length_begins_like_a_pickle_is_none(toolkit: Toolkit, length: int) -> None:
    """Every pickle since protocol 2 begins with the byte 0x80 and its protocol, up to 5."""
    run = make_run(Path("r"), vocabulary=SYMBOLS, num_layers=1)
    arrays = {n: ("F32", list(a.shape), a.tobytes()) for n, a in state_dict(weights_of(run)).items()}
    content = raw_safetensors(arrays, pad=length)
    assert content[0] == 0x80
    Path("a.bin").write_bytes(content)  # the content decides, not the name
    Path("a.vocabulary.json").write_text(SYMBOLS.to_json())
    toolkit.ok("import", "a.bin", "--out", "back")


def test_what_an_imported_run_can_do(toolkit: Toolkit, text_file: Path) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    answer = toolkit.json("import", "a.safetensors", "--out", "back")
    assert answer == {
        "run": "back",
        "vocabulary_size": Run.open(Path("r")).vocabulary.size,
        "lstm_size": 12,
        "num_layers": 2,
        "parameters": sum(array.size for array in weights_of(Run.open(Path("r"))).values()),
        "precision": "float32",
    }
    samples = [toolkit.json("sample", name, "--seed", "5")["samples"] for name in ("r", "back")]
    assert samples[0] == samples[1]
    losses = [toolkit.json("evaluate", name, "--text", text_file)["loss"] for name in ("r", "back")]
    assert losses[0] == losses[1]
    options = [option for option in TINY if "lstm-size" not in option]
    toolkit.ok(
        "train", text_file, *options, "--init-from", "back", "--max-steps", "10", "--run", "further",
        "--learning-rate", "0.01",
    )  # fmt: skip
    trained = lines_of(Path("further/metrics.jsonl"))
    assert trained[-1]["loss"] < losses[0]
    assert "imported from | a.safetensors, SHA-256" in Path("back/README.md").read_text("utf-8")


def test_an_imported_run_has_no_text_and_nothing_to_resume(toolkit: Toolkit, text_file: Path) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "back")
    for arguments in ((), (str(text_file),)):
        assert toolkit.error("train", *arguments, "--resume", "back") == (
            "'back' was imported, so it has neither a text nor an optimizer state to continue with; "
            "start a new run from its weights, with a text: --init-from back"
        )
    assert toolkit.error("evaluate", "back") == (
        "'back' was imported, so it has no text; name the text to score: --text FILE"
    )


def test_a_model_that_knows_carriage_returns_keeps_them(toolkit: Toolkit) -> None:
    make_run(Path("r"), vocabulary=Vocabulary.of_text("ab\r\n"))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "back")
    Path("crlf.txt").write_bytes(b"ab\r\n" * 9)
    assert toolkit.json("evaluate", "back", "--text", "crlf.txt")["symbols"] == 35


def test_what_is_printed(toolkit: Toolkit) -> None:
    make_run(Path("r"), vocabulary=SYMBOLS)
    toolkit.ok("export", "r", "--out", "a.safetensors")
    said = toolkit.ok("import", "a.safetensors", "--out", "runs/back").out
    assert said == (
        "runs/back: 2 x 12, 6 symbols, 2,190 parameters, float32\nnext: toolkit sample runs/back\n"
    )


def test_the_run_is_locked_until_its_card_is_written(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    real, refused = Run.write_card, []

    def write_card(run: Run, text: str) -> None:
        with pytest.raises(RunError, match="is being trained by process"):
            RunLock.take(run.path)
        refused.append(run.path)
        real(run, text)

    monkeypatch.setattr(Run, "write_card", write_card)
    charkit_formats.import_torch("a.safetensors", "back")
    assert refused == [Path("back")]
    RunLock.take(Path("back")).release()
