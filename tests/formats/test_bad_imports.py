"""What can't be imported: pickles, torn files, other models, wrong vocabularies. One line, and no run."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

import charkit
from charkit.errors import ConfigurationError
from charkit.runs.run import Run
from charkit.text.vocabulary import Vocabulary
from charkit_formats.to_torch import state_dict
from cli_support import Toolkit, snapshot
from formats_support import make_run, weights_of

SYMBOLS = Vocabulary.of_text("abcd \n")
StateDict = dict[str, NDArray[Any]]


@pytest.fixture
def stored() -> StateDict:
    """The state dict of a good model of two layers of 12, whose vocabulary lies at ``a.vocabulary.json``."""
    Path("a.vocabulary.json").write_text(SYMBOLS.to_json())
    return state_dict(weights_of(make_run(Path("r"), vocabulary=SYMBOLS)))


class Bomb:
    """Its pickle makes a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def zipped(content: bytes) -> bytes:
    """An archive as ``torch.save`` writes it, always the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), content)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin", "a.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps({"w": Bomb(), "x": 1.0}, protocol) for protocol in range(6)),
        pickle.dumps(collections.OrderedDict(a=[1]), 0),
        zipped(pickle.dumps(Bomb())),
        zipped(pickle.dumps(Bomb()))[:40],
        pickle.dumps([1, "a" * 100], 2)[:50],
    ],
)
def test_a_pickle_is_refused_by_its_name_whatever_its_files(
    toolkit: Toolkit, name: str, content: bytes
) -> None:
    Path(name).write_bytes(content)
    message = toolkit.error("import", name, "--out", "new")
    assert message.startswith(f"{name!r} is a pickle (the format of torch.save, ")
    assert "which can execute code when it is read; charkit reads safetensors only; " in message
    assert "safetensors.torch.save_model(model, 'FILE.safetensors')" in message
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "content", [b"", b".", b"a text", b"\x89HDF\r\n\x1a\n" + bytes(99), b"\x08\x08" * 9, b"{}"]
)
def test_other_files(toolkit: Toolkit, content: bytes) -> None:
    Path("a.safetensors").write_bytes(content)
    message = toolkit.error("import", "a.safetensors", "--out", "new")
    assert message.startswith(
        "'a.safetensors' is not a safetensors file; give a file written by safetensors.torch.save"
    )


def test_a_torn_file(toolkit: Toolkit, stored: StateDict) -> None:
    save_file(stored, "a.safetensors")
    whole = Path("a.safetensors").read_bytes()
    for length in (9, 100, len(whole) // 2, len(whole) - 1):
        Path("a.safetensors").write_bytes(whole[:length])
        message = toolkit.error("import", "a.safetensors", "--out", "new")
        assert message.startswith("'a.safetensors' is not a valid safetensors file (")


def test_a_file_that_can_not_be_read(toolkit: Toolkit) -> None:
    assert toolkit.error("import", "absent.safetensors", "--out", "new") == (
        "can't read 'absent.safetensors': No such file or directory; give the path of a safetensors file"
    )
    Path("folder").mkdir()
    assert "can't read 'folder': Is a directory" in toolkit.error("import", "folder", "--out", "new")


def without(*endings: str) -> Callable[[StateDict], StateDict]:
    return lambda stored: {name: array for name, array in stored.items() if not name.endswith(endings)}


def plus(**more: tuple[int, ...]) -> Callable[[StateDict], StateDict]:
    added = {name.replace("__", "."): np.ones(shape, np.float32) for name, shape in more.items()}
    return lambda stored: {**stored, **added}


def renamed(old: str, new: str) -> Callable[[StateDict], StateDict]:
    return lambda stored: {name.replace(old, new): array for name, array in stored.items()}


def typed(name: str, dtype: str) -> Callable[[StateDict], StateDict]:
    return lambda stored: {**stored, name: stored[name].astype(dtype)}


def with_nan(stored: StateDict) -> StateDict:
    stored["lstm.weight_hh_l1"][3, 4] = np.nan
    return stored


def gru(stored: StateDict) -> StateDict:
    return {name: array[:36] if name.startswith("lstm") else array for name, array in stored.items()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without("_l0", "_l1"), "it has no torch.nn.LSTM (tensor names ending in weight_ih_l0"),
        (lambda _stored: {}, "it contains nothing"),
        (
            plus(other__weight_ih_l0=(48, 6)),
            "it has more than one torch.nn.LSTM, under 'lstm.', 'other.'",
        ),
        (plus(lstm__weight_ih_l0_reverse=(48, 6)), "weight_ih_l0_reverse belongs to a bidirectional LSTM"),
        (plus(lstm__weight_hr_l0=(5, 12)), "lstm.weight_hr_l0 is a projection (proj_size)"),
        (without("weight_hh_l0"), "lstm.weight_hh_l0 is missing: the names go up to layer 1"),
        (renamed("_l1", "_l2"), "lstm.weight_ih_l1 is missing: the names go up to layer 2"),
        (without("bias_hh_l1"), "lstm.bias_hh_l1 is missing"),
        (without("bias_ih_l0", "bias_hh_l0", "bias_ih_l1", "bias_hh_l1"), "the LSTM has no bias (bias=False)"),
        (without("output.bias"), "output.weight has no output.bias next to it; "),
        (without("output.weight", "output.bias"), "it has no torch.nn.Linear with a bias"),
        (plus(head__weight=(6, 12), head__bias=(6,)), "more than one torch.nn.Linear with a bias, under"),
        (plus(norm__weight=(12,), norm__bias=(12,)), "it also has 'norm.bias', 'norm.weight'"),
        (plus(embedding__weight=(99, 6)), "embedding.weight looks like an embedding in front of the LSTM"),
        (plus(other__weight=(5, 5)), "it also has 'other.weight'"),
        (gru, "lstm.weight_hh_l0 has shape (36, 12); an LSTM's is (4 * lstm_size, lstm_size)"),
        (typed("lstm.weight_ih_l0", "int8"), "lstm.weight_ih_l0 has the type I8; weights must be float32, "),
        (typed("output.bias", "int64"), "output.bias has the type I64"),
        (with_nan, "lstm.weight_hh_l1 contains non-finite numbers"),
        (lambda s: {**s, "lstm.weight_ih_l0": np.ones((48, 7), np.float32)}, "is 7, but the vocabulary size is 6"),
        (lambda s: {**s, "lstm.weight_ih_l1": np.ones((48, 6), np.float32)}, "(48, 6); it must be (48, 12)"),
        (lambda s: {**s, "lstm.bias_ih_l1": np.ones((12,), np.float32)}, "(12,); it must be (48,)"),
        (lambda s: {**s, "output.bias": np.ones((7,), np.float32)}, "(7,); it must be (6,)"),
        (lambda s: {**s, "output.weight": np.ones((6, 9), np.float32)}, "(6, 9); it must be (6, 12)"),
        (lambda s: {**s, "lstm.weight_hh_l0": np.ones((48,), np.float32)}, "has shape (48,); an LSTM's is"),
        (lambda s: {**s, "lstm.weight_ih_l0": np.ones((), np.float32)}, "but the vocabulary size is 6"),
    ],
)  # fmt: skip
def test_other_models(
    toolkit: Toolkit, stored: StateDict, change: Callable[[StateDict], StateDict], expected: str
) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in change(stored).items()}, "a.safetensors")
    message = toolkit.error("import", "a.safetensors", "--out", "new")
    assert message.startswith("'a.safetensors' can't be imported: ")
    assert expected in message


def test_an_embedding_instead_of_one_hot_symbols(toolkit: Toolkit, stored: StateDict) -> None:
    stored["lstm.weight_ih_l0"] = np.ones((48, 3), np.float32)
    stored["embedding.weight"] = np.ones((6, 3), np.float32)
    save_file(stored, "a.safetensors")
    message = toolkit.error("import", "a.safetensors", "--out", "new")
    assert "embedding.weight looks like an embedding in front of the LSTM" in message
    assert "weight_ih_l0 @ embedding.weight.T is the new weight_ih_l0" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "can't be read: it is n"),
        ("[" * 100_000, "can't be read: it is n"),
        ("7", "is neither a non-empty list nor a non-empty object"),
        ("[]", "is neither a non-empty list nor a non-empty object"),
        ("{}", "is neither a non-empty list nor a non-empty object"),
        ('["ab", "c"]', "'ab' at index 0 is not one character"),
        ('["a", 1]', "1 at index 1 is not one character"),
        ('["a", "b", "a"]', "'a' is listed twice"),
        ('{"a": 1, "b": 2}', "its indices must be the numbers from 0 to 1, each used exactly once"),
        ('{"a": 0, "b": 0}', "its indices must be the numbers from 0 to 1, each used exactly once"),
        ('{"a": true, "b": false}', "its indices must be the numbers from 0 to 1, each used exactly once"),
        ('{"a": 0, "bc": 1}', "'bc' at index 1 is not one character"),
        ('["a", "b"]', "has 2 symbols, but output.weight, which must have one row per symbol, has shape (6"),
        (json.dumps({"format": 1, "kind": "char", "symbols": ["a", "a"]}), "the vocabulary is damaged"),
        (json.dumps({"format": 9, "kind": "char", "symbols": ["a"]}), "this version of charkit reads format 1"),
        (json.dumps({"kind": "char"}), "the vocabulary is damaged"),
        (json.dumps(["\ud800", *"abcde"]), "U+D800 is half of a surrogate pair"),
        (Vocabulary.bytes().to_json(), "has 256 symbols, but output.weight, which must have one row per symbol, has"),
    ],
)  # fmt: skip
def test_wrong_vocabularies(toolkit: Toolkit, stored: StateDict, content: str, expected: str) -> None:
    save_file(stored, "a.safetensors")
    Path("chars.json").write_text(content)
    assert expected in toolkit.error("import", "a.safetensors", "--out", "new", "--vocabulary", "chars.json")
    Path("chars.json").rename("a.vocabulary.json")
    assert expected in toolkit.error("import", "a.safetensors", "--out", "new")
    Path("a.vocabulary.json").unlink()
    save_file(stored, "a.safetensors", {"vocabulary": content})
    message = toolkit.error("import", "a.safetensors", "--out", "new")
    assert expected in message


def test_no_vocabulary(toolkit: Toolkit, stored: StateDict) -> None:
    save_file(stored, "a.safetensors")
    Path("a.vocabulary.json").unlink()
    message = toolkit.error("import", "a.safetensors", "--out", "new")
    assert "there is no vocabulary in its metadata, and 'a.vocabulary.json' doesn't exist" in message
    assert "--vocabulary" in message
    assert "No such file" in toolkit.error(
        "import", "a.safetensors", "--out", "new", "--vocabulary", "no.json"
    )
    Path("latin.json").write_bytes(b'["\xe9"]')
    assert "is not UTF-8" in toolkit.error(
        "import", "a.safetensors", "--out", "new", "--vocabulary", "latin.json"
    )


def test_a_run_that_is_there(toolkit: Toolkit, stored: StateDict) -> None:
    save_file(stored, "a.safetensors")
    message = toolkit.error("import", "a.safetensors", "--out", "r")
    assert message == "the run 'r' already exists; replace it with --overwrite, or choose another --out"
    Path("r/mark").touch()
    toolkit.ok("import", "a.safetensors", "--out", "r", "--overwrite")
    assert Run.open(Path("r")).text_sha256 == ""
    assert not Path("r/mark").exists()


def test_a_run_is_not_replaced_together_with_the_file_that_is_imported(
    toolkit: Toolkit, stored: StateDict
) -> None:
    save_file(stored, "r/a.safetensors")
    message = toolkit.error("import", "r/a.safetensors", "--out", "r", "--overwrite")
    assert message == (
        "'r/a.safetensors' is in the run 'r', which would be replaced; move the file out of the run, or choose "
        "another --out"
    )
    save_file(stored, "a.safetensors")
    Path("r/names.json").write_text("[]")
    assert "'r/names.json' is in the run 'r'" in toolkit.error(
        "import", "a.safetensors", "--out", "r", "--overwrite", "--vocabulary", "r/names.json"
    )


@pytest.mark.parametrize("flag", [(), ("--overwrite",)])
def test_what_is_no_run_is_never_overwritten(
    toolkit: Toolkit, stored: StateDict, flag: tuple[str, ...]
) -> None:
    save_file(stored, "a.safetensors")
    Path("papers").mkdir()
    for out in ("papers", "a.safetensors"):
        message = toolkit.error("import", "a.safetensors", "--out", out, *flag)
        assert message == (
            f"{out!r} already exists and is not a charkit run, so it is never overwritten; choose another --out"
        )


def test_a_run_below_a_file(toolkit: Toolkit, stored: StateDict) -> None:
    save_file(stored, "a.safetensors")
    message = toolkit.error("import", "a.safetensors", "--out", "a.safetensors/run")
    assert message.endswith("a.safetensors' is a file, not a directory; choose another --out")


def test_a_full_disk_leaves_no_run(
    toolkit: Toolkit, stored: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(stored, "a.safetensors")

    def no_room(_handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", no_room)
    message = toolkit.error("import", "a.safetensors", "--out", "deep/er/run")
    assert message == "can't write 'deep/er/run': the disk is full; free some space"


@pytest.mark.parametrize("path", [5, b"a.safetensors", ["a.safetensors"], "a\0b"])
@pytest.mark.parametrize("argument", ["file", "out", "vocabulary"])
def test_what_is_no_path_is_refused_in_python(stored: StateDict, argument: str, path: Any) -> None:
    save_file(stored, "a.safetensors")
    before = snapshot(Path.cwd())
    given = {"file": "a.safetensors", "out": "new", argument: path}
    with pytest.raises(
        ConfigurationError, match=f"^`{argument}` must (be a path|not contain a null character); given"
    ):
        charkit.import_model(**given)
    assert snapshot(Path.cwd()) == before
