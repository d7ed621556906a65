"""A run as a state dict: names, values, what lies beside it, and what is refused. PyTorch is not needed."""

# Over 300 lines: one short test for each thing that an export writes, says or refuses.

from __future__ import annotations

import ast
import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import charkit
import charkit_formats
import formats_support
from charkit.errors import ConfigurationError, StorageError
from charkit.text.vocabulary import Vocabulary
from charkit_formats import FormatError, files
from charkit_formats.files import write_all
from cli_support import TINY, Toolkit, snapshot
from formats_support import Weights, make_run, random_weights, weights_of

FILES = ("a.safetensors", "a.vocabulary.json", "a.py")


@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_state_dict_holds_the_weights_under_pytorchs_names(num_layers: int) -> None:
    run = make_run(Path("r"), num_layers=num_layers)
    made = charkit_formats.export_torch("r", "a.safetensors")
    assert made.files == tuple(map(Path, FILES))
    stored, weights = load_file("a.safetensors"), weights_of(run)
    expected = {"output.weight": weights["output.weight"], "output.bias": weights["output.bias"]}
    for layer in range(num_layers):
        expected[f"lstm.weight_ih_l{layer}"] = weights[f"lstm.{layer}.weight_ih"]
        expected[f"lstm.weight_hh_l{layer}"] = weights[f"lstm.{layer}.weight_hh"]
        expected[f"lstm.bias_ih_l{layer}"] = weights[f"lstm.{layer}.bias"]
        expected[f"lstm.bias_hh_l{layer}"] = np.zeros(4 * 12, np.float32)
    assert stored.keys() == expected.keys()
    for name, array in expected.items():
        assert stored[name].dtype == np.float32
        assert np.array_equal(stored[name], array), name


def test_the_result_is_a_table_in_a_notebook() -> None:
    make_run(Path("r"))
    table = charkit.export("r", "a.safetensors")._repr_html_()
    assert table.startswith("<table>")
    for shown in (">r<", ">torch<", ">float32<", *(f">{name}<" for name in FILES)):
        assert shown in table
    assert "largest difference" not in table


def test_the_vocabulary_lies_beside_and_inside() -> None:
    run = make_run(Path("r"))
    charkit_formats.export_torch("r", "a.safetensors")
    assert Vocabulary.from_json(Path("a.vocabulary.json").read_text("utf-8")) == run.vocabulary
    with safe_open("a.safetensors", framework="np") as file:
        metadata = file.metadata()
    assert Vocabulary.from_json(metadata["vocabulary"]) == run.vocabulary
    assert (metadata["format"], metadata["charkit"]) == ("pt", charkit.__version__)


@pytest.mark.parametrize("vocabulary", [None, Vocabulary.bytes()])
def test_the_example_is_python_that_imports_only_what_it_says(vocabulary: Vocabulary | None) -> None:
    make_run(Path("r"), vocabulary=vocabulary)
    charkit_formats.export_torch("r", "a.safetensors")
    tree = ast.parse(Path("a.py").read_text("utf-8"))
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)  # one name of a module is the module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"argparse", "json", "pathlib", "torch", "safetensors.torch"}


def test_a_run_of_float64_is_rounded_unless_asked(toolkit: Toolkit) -> None:
    run = make_run(Path("r"), precision="float64")
    outcome = toolkit.ok("export", "r", "--out", "a.safetensors")
    assert outcome.err == "note: the run's float64 weights are rounded to float32\n"
    assert {array.dtype for array in load_file("a.safetensors").values()} == {np.dtype(np.float32)}
    outcome = toolkit.ok("export", "r", "--out", "b.safetensors", "--precision", "float64")
    assert outcome.err == ""
    assert np.array_equal(load_file("b.safetensors")["output.weight"], weights_of(run)["output.weight"])


def test_best_and_latest(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "9", "--run", "r")
    toolkit.ok("train", "--resume", "r", "--max-steps", "12", "--learning-rate", "2")
    answers = [
        toolkit.json("export", "r", "--out", f"{which}.safetensors", "--checkpoint", which)
        for which in ("best", "latest")
    ]
    assert [answer["step"] for answer in answers] == [9, 12]
    best, latest = (load_file(f"{which}.safetensors")["output.bias"] for which in ("best", "latest"))
    assert not np.array_equal(best, latest)


def test_what_is_printed(toolkit: Toolkit) -> None:
    make_run(Path("runs/small-1"))
    outcome = toolkit.ok("export", "--out", "a.safetensors")  # the newest run; the format by the suffix
    lines = outcome.out.splitlines()
    assert lines[0] == "runs/small-1 at step 0 as torch, float32"
    assert [line.split()[0] for line in lines[1:4]] == list(FILES)
    assert lines[-1] == "next: python a.py"
    assert max(map(len, lines)) <= 80
    assert toolkit.json("export", "--out", "b.safetensors", "--format", "torch") == {
        "run": "runs/small-1",
        "step": 0,
        "format": "torch",
        "precision": "float32",
        "files": ["b.safetensors", "b.vocabulary.json", "b.py"],
        "checks": ["read back: every array and the vocabulary equal the run's, bit for bit"],
        "largest_difference": None,
    }


def test_the_files_are_as_readable_as_any(toolkit: Toolkit) -> None:
    make_run(Path("r"))
    Path("usual").touch()
    toolkit.ok("export", "r", "--out", "a.safetensors")
    assert {Path(name).stat().st_mode for name in FILES} == {Path("usual").stat().st_mode}


def test_missing_directories_are_made_and_gone_again_if_it_fails(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "new/er/a.safetensors")
    assert {path.name for path in Path("new/er").iterdir()} == set(FILES)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(files, "write_file", lambda path, content: (_ for _ in ()).throw(full))
    assert "No space left on device" in toolkit.error("export", "r", "--out", "other/er/a.safetensors")


def test_the_example_has_a_help_and_refuses_what_it_can_t_do(toolkit: Toolkit) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "a.safetensors")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "a.py", *arguments], capture_output=True, text=True, check=False
        )

    said = run("--help")
    assert said.returncode == 0
    for option in ("text", "--length", "--temperature", "--seed"):
        assert option in said.stdout
    temperatures = (("--temperature", wrong) for wrong in ("0", "nan", "inf"))
    for wrong in (*temperatures, ("--length", "-1"), ("--nonsense",)):
        refused = run(*wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "r/latest/a.safetensors"), "r/latest' is a file, not a directory; choose another --out"),
        (
            ("--out", "r/latest/new/a.safetensors"),
            "r/latest' is a file, not a directory; choose another --out",
        ),
        (("--out", "a.pt"), "--out 'a.pt' must end in one of .safetensors, .onnx"),
        (("--out", "a.safetensor"), "(did you mean '.safetensors'?)"),
        (("--out", "a.pt", "--format", "torch"), "a file in torch format must be named FILE.safetensors"),
        (("--out", "a.onnx", "--format", "torch"), "must be named FILE.safetensors; given 'a.onnx'"),
        (("--out", "a.safetensors", "--format", "onnx"), "must be named FILE.onnx; given 'a.safetensors'"),
        (("--out", ".safetensors"), "must end in one of"),
        (("--out", "torch.safetensors"), "would be named torch.py and shadow the module torch"),
        (("--out", "random.safetensors"), "and shadow the module random"),
        (("--out", "a.onnx", "--precision", "float64"), "--precision float64 works only with --format torch"),
        (("--out", "a.safetensors", "--format", "keras"), "'keras' is not one of 'torch', 'onnx'"),
        (("--out", "a.safetensors", "--checkpoint", "first"), "'first' is not one of"),
        ((), "missing option '--out'; see toolkit export --help"),
    ],
)
def test_wrong_use(toolkit: Toolkit, arguments: tuple[str, ...], told: str) -> None:
    make_run(Path("r"))
    assert told in toolkit.error("export", "r", *arguments)


def test_what_is_no_run_or_damaged(toolkit: Toolkit) -> None:
    assert "the directory doesn't exist" in toolkit.error("export", "absent", "--out", "a.safetensors")
    assert "no run was given" in toolkit.error("export", "--out", "a.safetensors")
    make_run(Path("r"))
    (Path("r/checkpoints/00000000/model.safetensors")).write_bytes(b"torn")
    assert "no intact checkpoint" in toolkit.error("export", "r", "--out", "a.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_there_is_replaced_only_when_asked(toolkit: Toolkit, name: str) -> None:
    make_run(Path("r"))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    whole = {each: Path(each).read_bytes() for each in FILES}
    for each in FILES:
        if each != name:
            Path(each).unlink()
    message = toolkit.error("export", "r", "--out", "a.safetensors")
    assert (
        message
        == f"'{name}' already exists; replace it with --overwrite, or choose an --out with another name"
    )
    toolkit.ok("export", "r", "--out", "a.safetensors", "--overwrite")
    assert {each: Path(each).read_bytes() for each in FILES} == whole
    assert sorted(path.name for path in Path().iterdir()) == sorted((*FILES, "r"))


def test_somebodys_program_is_never_overwritten(toolkit: Toolkit) -> None:
    make_run(Path("r"))
    Path("a.py").write_text("print('years of work')\n")
    message = toolkit.error("export", "r", "--out", "a.safetensors", "--overwrite")
    assert message.startswith("'a.py' is not an example that charkit wrote, so it is never overwritten")


def test_a_folder_in_the_way(toolkit: Toolkit) -> None:
    make_run(Path("r"))
    Path("a.vocabulary.json").mkdir()
    for more in ((), ("--overwrite",)):
        message = toolkit.error("export", "r", "--out", "a.safetensors", *more)
        assert message == "'a.vocabulary.json' already exists and is not a file; choose another --out"


def test_a_folder_that_may_not_be_written(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("r"))
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)
    message = toolkit.error("export", "r", "--out", "a.safetensors")
    assert message == "can't write to '.': permission denied; choose another --out"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "No space left on device; free some space there, or choose another --out"),
        (errno.EIO, "Input/output error; choose another --out"),
    ],
)
def test_a_disk_that_can_not_be_written_leaves_nothing(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    make_run(Path("r"))

    def fail(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    assert toolkit.error("export", "r", "--out", "a.safetensors") == f"can't write to '.': {reason}"


@pytest.mark.parametrize("failing", ["a", "b", "c"])
@pytest.mark.parametrize("there", [(), ("a", "b", "c"), ("b",)])
def test_all_files_are_written_or_none(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], failing: str
) -> None:
    for name in there:
        Path(name).write_text(f"old {name}")
    before = snapshot(Path())
    real = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target == Path(failing) and path.read_text() == "new":
            raise OSError(5, os.strerror(5))
        return real(path, target)

    with monkeypatch.context() as planted:
        planted.setattr(Path, "replace", refuse)
        with pytest.raises(StorageError, match="can't write to"):
            write_all({Path(name): b"new" for name in "abc"}, overwrite=True)
    assert snapshot(Path()) == before
    write_all({Path(name): b"new" for name in "abc"}, overwrite=True)


@pytest.mark.parametrize("taken", ["a", "b", "c"])
def test_a_file_that_another_process_makes_meanwhile_is_not_replaced(taken: str) -> None:
    Path(taken).write_text("another's")
    with pytest.raises(FormatError, match=f"'{taken}' already exists; replace it with `overwrite=True`, or"):
        write_all({Path(name): b"new" for name in "abc"}, overwrite=False)
    assert snapshot(Path()) == {taken: b"another's"}


def test_an_export_holds_no_secret_of_the_machine(toolkit: Toolkit) -> None:
    make_run(Path("r"), text=str(Path("private/text.txt").resolve()))
    toolkit.ok("export", "r", "--out", "a.safetensors")
    for name in FILES:
        assert b"private" not in Path(name).read_bytes()
    assert json.loads(Path("a.vocabulary.json").read_text("utf-8"))["kind"] == "char"


@pytest.mark.parametrize("strict", [False, True])
def test_weights_too_large_for_float32_are_refused(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, *, strict: bool
) -> None:
    def with_a_large_one(*arguments: Any) -> Weights:
        weights = random_weights(*arguments)
        weights["output.bias"][0] = -1e39
        return weights

    monkeypatch.setattr(formats_support, "random_weights", with_a_large_one)
    run = make_run(Path("r"), precision="float64")
    with warnings.catch_warnings(), np.errstate(all="raise" if strict else "warn"):
        warnings.simplefilter("error")
        said = toolkit.error("export", "r", "--out", "a.safetensors")
    assert said == (
        "'r' can't be exported in float32: output.bias contains numbers that are too large for float32; use "
        "--precision float64, which requires --format torch"
    )
    toolkit.ok("export", "r", "--out", "a.safetensors", "--precision", "float64")
    assert np.array_equal(load_file("a.safetensors")["output.bias"], weights_of(run)["output.bias"])


def test_what_is_said_of_a_rounded_export(toolkit: Toolkit) -> None:
    make_run(Path("r"), precision="float64")
    said = [
        toolkit.json("export", "r", "--out", f"{precision}.safetensors", "--precision", precision)["checks"]
        for precision in ("float32", "float64")
    ]
    assert said == [
        [
            "read back: every array equals the run's weights in float32, bit for bit, and the vocabulary is the run's"
        ],
        ["read back: every array and the vocabulary equal the run's, bit for bit"],
    ]


@pytest.mark.parametrize("path", [5, b"r", ["r"], "r\0"])
def test_what_is_no_path_is_refused_in_python(path: Any) -> None:
    make_run(Path("r"))
    refusal = "must (be a path|not contain a null character); given"
    for export in (charkit.export, charkit_formats.export_torch, charkit_formats.export_onnx):
        with pytest.raises(ConfigurationError, match=f"^`out` {refusal}"):
            export("r", path)
    for export in (charkit.export, charkit_formats.export_torch):
        with pytest.raises(ConfigurationError, match=f"^`run` {refusal}"):
            export(path, "a.safetensors")
    assert os.listdir() == ["r"]
