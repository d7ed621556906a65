"""R14: an import gives the numbers of its file or one line; an export that went wrong is noticed, and not written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import deserialize

import charkit
from charkit.machine import peak_bytes
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from charkit_formats import onnx_check, to_onnx, to_torch
from charkit_formats.errors import FormatError
from charkit_formats.exports import ExportedCheckpoint
from charkit_formats.to_torch import state_dict
from charkit_formats.torch_check import check as check_torch
from faults.json_mutations import mutate_json
from faults.rounds import Rounds
from faults.run_mutations import flip_bit
from faults.run_outcomes import BrokenPromiseError, call, check_refused, limited
from faults.tensor_mutations import mutate_tensors
from formats_support import make_run

SYMBOLS = Vocabulary.of_text("abcd \n")
MOST_GROWTH_BYTES = 400 << 20


@pytest.fixture(autouse=True)
def _without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off here, so that nothing has to be durable."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)


@pytest.fixture
def exported() -> dict[Path, bytes]:
    """The content of an export's tensors and vocabulary, by the files that they are in."""
    make_run(Path("r"), vocabulary=SYMBOLS, lstm_size=4)
    charkit.export("r", "a.safetensors")
    return {path: path.read_bytes() for path in (Path("a.safetensors"), Path("a.vocabulary.json"))}


# ---- imports --------------------------------------------------------------------------------------------


def harm_import(files: dict[Path, bytes], random: Random) -> str:
    """Does one harm to the files of an export; what that was."""
    for path, content in files.items():
        path.write_bytes(content)
    tensors, vocabulary = files
    kind = random.choice(("tensors", "tensors", "tensors", "vocabulary", "flip", "cut"))
    if kind == "tensors":
        content, what = mutate_tensors(files[tensors], random)
        tensors.write_bytes(content)
        return what
    if kind == "vocabulary":
        text, what = mutate_json(files[vocabulary].decode(), random)
        vocabulary.write_bytes(text.encode("utf-8", "surrogatepass"))
        return f"vocabulary: {what}"
    path = random.choice((tensors, vocabulary))
    if kind == "flip":
        return f"{path}: {flip_bit(path, random)}"
    path.write_bytes(files[path][: random.randrange(len(files[path]))])
    return f"{path} cut"


def stored_arrays() -> dict[str, NDArray[Any]]:
    """The arrays of the file as its format's own library reads them; bfloat16, which NumPy lacks, widened."""
    found: list[tuple[str, dict[str, Any]]] = deserialize(Path("a.safetensors").read_bytes())
    types = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    arrays = {}
    for name, entry in found:
        array = np.frombuffer(entry["data"], types[entry["dtype"]]).reshape(entry["shape"])
        is_bfloat16 = entry["dtype"] == "BF16"
        arrays[name] = (array.astype(np.uint32) << 16).view(np.float32) if is_bfloat16 else array
    return arrays


def check_import(what: str) -> str:
    """Whether an import is refused in one line with no run left, or gives what another program reads in the file."""
    out = Path("new")
    done = call("import", "a.safetensors", "--out", out, "--overwrite")
    if done.status != 0:
        if out.exists():
            raise BrokenPromiseError(f"{what}: a run was left")
        return check_refused(done)
    if not charkit.check(out).whole:
        raise BrokenPromiseError(f"{what}: the run is not whole")
    stored = stored_arrays()
    weights = Run.open(out).checkpoint("latest")[0].snapshot.weights
    for name, array in state_dict(weights).items():
        other = stored[name]
        if name.startswith("lstm.bias_ih"):
            other = other + stored[name.replace("bias_ih", "bias_hh")]
        if not name.startswith("lstm.bias_hh") and not np.array_equal(array, other):
            raise BrokenPromiseError(f"{what}: other numbers in {name}")
    call("sample", out, "--length", "3", "--seed", "1")
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    out.rmdir()
    return "imported"


def check_imports(exported: dict[Path, bytes], number: int, seed: int) -> Counter[str]:
    """How often each end came in so many rounds. Raises BrokenPromiseError."""
    ends: Counter[str] = Counter()
    for round_number in range(number):
        what = harm_import(exported, Random(f"{seed}-import-{round_number}"))
        ends[check_import(f"round {round_number}, {what}")] += 1
    return ends


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_imports(exported: dict[Path, bytes], rounds: Rounds, seed: int) -> None:
    before = peak_bytes()
    ends = check_imports(exported, rounds(short=200, long=5_000), seed)
    assert ends["refused"] > 0 < ends["imported"], ends
    assert peak_bytes() - before < MOST_GROWTH_BYTES


def test_a_planted_import_of_other_numbers_is_found(
    exported: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("charkit_formats.from_torch.np.isfinite", np.ones_like)
    monkeypatch.setattr("charkit.runs.checkpoint_content.first_not_finite", lambda _arrays: None)
    with pytest.raises(BrokenPromiseError, match="the run is not whole"):
        check_imports(exported, 500, seed)


# ---- exports --------------------------------------------------------------------------------------------


def harm_export(content: bytes, random: Random) -> bytes:
    """One harm to a file of tensors, or a turned bit, or a piece that is missing."""
    if random.random() < 0.5:
        return mutate_tensors(content, random)[0]
    harmed = bytearray(content)
    at = random.randrange(len(content))
    harmed[at] ^= 1 << random.randrange(8)
    return bytes(harmed[: at + 1] if random.random() < 0.1 else harmed)


def test_exports_to_torch(
    exported: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, rounds: Rounds, seed: int
) -> None:
    """Where the writing of tensors goes wrong, the export notices, and what was there before stays."""
    sound = to_torch._in_order
    noticed = 0
    number = rounds(short=200, long=5_000) // 4
    for round_number in range(number):
        random = Random(f"{seed}-torch-{round_number}")
        monkeypatch.setattr(to_torch, "_in_order", lambda content, r=random: harm_export(sound(content), r))
        done = call("export", "r", "--out", "a.safetensors", "--overwrite")
        if done.status != 0:
            check_refused(done)
            noticed += 1
            assert {path: path.read_bytes() for path in exported} == exported, f"round {round_number}"
            continue
        stored = stored_arrays()
        right = state_dict(Run.open(Path("r")).checkpoint("latest")[0].snapshot.weights)
        assert all(np.array_equal(stored[name], right[name]) for name in right), f"round {round_number}"
        for path, content in exported.items():
            path.write_bytes(content)
    assert noticed > 0.9 * number


def test_a_vocabulary_of_another_run_is_noticed(exported: dict[Path, bytes]) -> None:
    content, vocabulary = exported.values()
    arrays = state_dict(Run.open(Path("r")).checkpoint("latest")[0].snapshot.weights)
    assert check_torch(content, vocabulary, arrays, SYMBOLS)
    other = Vocabulary.of_text("abcde\n").to_json().encode()
    with pytest.raises(FormatError, match="its vocabulary differs"):
        check_torch(content, other, arrays, SYMBOLS)


def _flipped(content: bytes, random: Random) -> bytes:
    harmed = bytearray(content)
    harmed[random.randrange(len(harmed))] ^= 1 << random.randrange(8)
    return bytes(harmed)


def _other_model(onnx: Any, content: bytes, random: Random) -> Any:
    """The model with one thing changed: a node's inputs, its attributes, an array, or the metadata."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    kind = random.choice(("input", "output", "attribute", "array", "drop", "metadata"))
    node = random.choice(graph.node)
    if kind == "input":
        node.input[random.randrange(len(node.input))] = random.choice(
            [*graph.node[-1].input, "hidden", "cell"]
        )
    elif kind == "output":
        node.output[0] = "other"
    elif kind == "attribute" and node.attribute:
        attribute = random.choice(node.attribute)
        attribute.i += 1
        del attribute.ints[:]
    elif kind == "array":
        array = random.choice(graph.initializer)
        values = np.array(onnx.numpy_helper.to_array(array))
        values.reshape(-1)[random.randrange(values.size)] += 1
        array.CopyFrom(onnx.numpy_helper.from_array(values, array.name))
    elif kind == "metadata":
        model.metadata_props[-1].value = json.dumps({"kind": "char"})
    else:
        graph.node.remove(node)
    return model


@pytest.mark.onnx
@pytest.mark.parametrize("what", ["file", "model"])
def test_exports_to_onnx(rounds: Rounds, seed: int, what: str) -> None:
    """A file that is not the model, and a model that is not the run's, are noticed by the check of the export."""
    onnx = pytest.importorskip("onnx")
    make_run(Path("r"), vocabulary=SYMBOLS, lstm_size=4)
    source = ExportedCheckpoint.read("r", "latest", "float32")
    model = to_onnx._model(onnx, source)
    content = model.SerializeToString()
    assert onnx_check.check(model, content, source, None)
    for number in range(rounds(short=200, long=5_000) // 2):
        random = Random(f"{seed}-onnx-{number}")
        harmed = _other_model(onnx, content, random) if what == "model" else model
        written = harmed.SerializeToString() if what == "model" else _flipped(content, random)
        same = onnx.load_model_from_string(content) == harmed and written == content
        with limited():
            try:
                onnx_check.check(harmed, written, source, None)
            except FormatError:
                continue
        assert same or onnx.load_model_from_string(written) == model, f"round {number}"
